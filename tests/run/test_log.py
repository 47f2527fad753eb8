"""What a run writes: lines for people, lines for programs, scalars."""

import json
import os

import pytest

import tiny_run
from stylegan_jax.run.log import RunLog
from stylegan_jax.run.time_left import TimeLeft
from stylegan_jax.runtime.progress import duration

ENTRY = {
    'tick': 3,
    'nimg': 96,
    'kimg': 0.096,
    'resolution': '8x8',
    'alpha': 0.5,
    'batch': 4,
    'seconds': 75.0,
    'tick_seconds': 25.0,
    'images_per_second': 1.25,
    'maintenance_seconds': 0.5,
    'g_loss': 0.75,
    'd_loss': 1.5,
}


@pytest.fixture
def open_log(tmp_path):
    """Returns a function that opens the log of the one workdir."""
    logs = []

    def open_log(nimg=0):
        logs.append(RunLog(str(tmp_path), nimg=nimg, total_nimg=1000))
        return logs[-1]

    yield open_log
    for log in logs:
        log.close()


@pytest.mark.parametrize(
    'seconds, text',
    [
        (0, '0s'),
        (59.4, '59s'),
        (59.6, '1m 00s'),
        (187, '3m 07s'),
        (3599.7, '1h 00m 00s'),
        (18131, '5h 02m 11s'),
        (176400, '2d 01h 00m'),
    ],
)
def test_durations_are_written_as_people_do(seconds, text):
    assert duration(seconds) == text


def test_a_tick_is_a_line_for_people_and_one_for_programs(open_log, tmp_path, capsys):
    open_log().tick(ENTRY)
    line = capsys.readouterr().out
    for text in (
        'tick 3',
        'kimg 0.1',
        '8x8',
        'alpha 0.50',
        'batch 4',
        '1m 15s',
        '1.2 img/s',
        '0.5s',
        'G  0.750',
        'D  1.500',
    ):
        assert text in line, text
    assert (tmp_path / 'log.txt').read_text() == line and line.count('\n') == 1
    assert [json.loads(line) for line in (tmp_path / 'log.jsonl').read_text().splitlines()] == [
        ENTRY | {'waited_seconds': 0.0}
    ]


def test_numbers_go_to_tensorboard_and_texts_do_not(open_log, tmp_path):
    log = open_log()
    log.tick(ENTRY)
    log.close()
    (name,) = os.listdir(tmp_path / 'tensorboard')
    events = (tmp_path / 'tensorboard' / name).read_bytes()
    assert all(field.encode() in events for field in ('g_loss', 'kimg', 'alpha'))
    assert b'resolution' not in events and b'nimg' not in events


def test_entries_beyond_the_checkpoint_and_torn_lines_are_dropped(open_log, tmp_path):
    path = tmp_path / 'log.jsonl'
    path.write_text('{"nimg": 32}\n{"nimg": 64}\n{"nimg": 96}\n{"nim')
    open_log(nimg=64).tick(ENTRY)
    assert [json.loads(line)['nimg'] for line in path.read_text().splitlines()] == [32, 64, 96]
    assert not (tmp_path / 'log.jsonl.part').exists()


def test_the_line_of_a_tick_that_is_repeated_is_replaced(tmp_path):
    path = tmp_path / 'log.jsonl'
    path.write_text('{"nimg": 32, "tick": 1}\n{"nimg": 48, "tick": 2}\n')
    RunLog(str(tmp_path), nimg=48, total_nimg=48, ticks=1).close()
    assert path.read_text() == '{"nimg": 32, "tick": 1}\n'


def test_the_line_of_a_tick_has_the_numbers_of_options_that_are_on(open_log, capsys):
    on = {'path_length': 0.1234, 'separation_loss': 0.5, 'augment_p': 0.3, 'overfitting': -0.01}
    open_log().tick(ENTRY | on)
    assert '  path length 0.123  separation 0.500  augment p 0.30  overfitting -0.01' in capsys.readouterr().out


def test_messages_of_all_sessions_stay(open_log, tmp_path, capsys):
    open_log().message('one')
    open_log(nimg=8).message('two')
    assert (tmp_path / 'log.txt').read_text() == capsys.readouterr().out == 'one\ntwo\n'


def test_the_progress_line_stays_off_a_file(open_log, capsys):
    """Where stderr is no terminal, as under pytest and Slurm."""
    log = open_log()
    log.activity('compiling 8x8')
    log.progress(4, '8x8', 0.5, 4)
    assert capsys.readouterr().err == ''


def test_a_tick_tells_the_time_that_is_left(tmp_path, capsys):
    """For people, for programs and for the report; that for pictures and checkpoints included."""
    log = RunLog(str(tmp_path), nimg=0, total_nimg=160, time_left=TimeLeft(tiny_run.run_config(), {'4x4': 9.0}))
    log.compiled('8x8', 4, 1, True, 25.0, 20.0, 0)  # a wait that does not come again
    capsys.readouterr()
    log.tick(ENTRY | {'tick_seconds': 50.0, 'maintenance_seconds': 10.0, 'images_per_second': 0.6, 'nimg': 100})
    log.close()
    assert capsys.readouterr().out.endswith('D  1.500  left 1m 20s\n')  # 60 images of 40 / 30 seconds
    (entry,) = map(json.loads, (tmp_path / 'log.jsonl').read_text().splitlines())
    assert entry['seconds_left'] == entry['seconds_left_at_most'] == pytest.approx(80.0)
    assert entry['waited_seconds'] == 20.0


@pytest.mark.parametrize(
    'last, folder, words',
    [
        (37.2, '/cache', 'it took 37s last time'),
        (None, '/cache', 'it is kept in /cache, where later starts find it'),
        (None, None, 'nothing is kept (compilation_cache=none), so every start compiles it'),
    ],
)
def test_a_wait_for_the_compiler_says_how_long_it_may_take(open_log, capsys, last, folder, words):
    open_log().waiting('8x8', 32, 16, True, last, folder)
    program = '8x8, batch 32, 16 iterations per dispatch'
    assert capsys.readouterr().out == f'waiting for the compiler: {program} ({words})\n'


def test_a_program_of_the_cache_says_what_was_spared(open_log, capsys):
    log = open_log()
    log.compiled('8x8', 32, 1, True, 1.9, 1.5, 0, from_cache=True, without=37.0)
    log.compiled('8x8', 32, 1, False, 1.9, 0.0, 0, from_cache=True)
    assert capsys.readouterr().out.splitlines() == [
        'compiled 8x8, batch 32: 1.9s, from the cache (37.0s without it), of which the run waited 1.5s',
        'compiled 8x8, batch 32, without the fade: 1.9s, from the cache',
    ]
