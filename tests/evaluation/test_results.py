"""Lines of results: writing, reading, and what may stand side by side."""

import pytest

from stylegan_jax.errors import UserError
from stylegan_jax.evaluation import results

RESULT = {
    'metric': 'fid10k',
    'value': 12.5,
    'standard_error': None,
    'network': 'aa',
    'data': 'faces 1',
    'fakes': 10_000,
    'reals': 10_000,
    'resize': 'legacy',
    'precision': 'float32',
    'psi': 1.0,
    'seed': 0,
    'feature_network': 'inception-2015',
    'feature_digest': 'bb',
}


@pytest.fixture
def write(tmp_path):
    """Returns a function that writes a file of changed results and gives its path."""

    def write(name, *changes):
        path = str(tmp_path / name)
        results.append(path, [results.complete(RESULT | change, network_path=name) for change in changes])
        return path

    return write


def test_results_come_back_with_versions_and_time(write):
    (result,) = results.read(write('a', {}))
    assert {name: result[name] for name in RESULT} == RESULT
    assert result['time'] and result['version'] and result['jax']


def test_what_was_measured_and_chance_may_differ(write):
    paths = [write('a', {}, {'metric': 'ppl', 'value': 3.0}), write('b', {'value': 7.25, 'seed': 4, 'network': 'cc'})]
    assert results.compared(paths).splitlines() == ['        a     b', 'fid10k  12.5  7.25', 'ppl     3     -']


@pytest.mark.parametrize('name', ['std_over_splits', 'kept', 'bits', 'not_converged', 'note', 'nimg', 'time'])
def test_outcomes_and_occasions_may_differ(write, name):
    assert 'fid10k' in results.compared([write('a', {name: 1}), write('b', {name: 2})])


def test_outcomes_of_sticking_are_shown_to_people():
    measured = {'stays': 0.56612, 'moves': 0.362, 'counted': 0.07231}
    line = results.line({'metric': 'sticking50', 'value': 0.61, 'standard_error': None, 'walks': 50} | measured)
    assert line.endswith('50 walks, stays 0.566, moves 0.362, counted 0.0723')


def test_the_last_result_counts(write):
    assert results.compared([write('a', {}, {'value': 1.5})]).splitlines()[1] == 'fid10k  1.5'


def test_checkpoints_of_a_run_are_columns(write):
    table = results.compared([write('run', {'nimg': 1000}, {'nimg': 2500, 'value': 6.0})])
    assert table.splitlines() == ['        run at 1 kimg  run at 2.5 kimg', 'fid10k  12.5           6']


@pytest.mark.parametrize(
    'change',
    [
        {'resize': 'clean'},
        {'psi': 0.7},
        {'fakes': 500},
        {'data': 'faces 2'},
        {'feature_digest': 'dd'},
        {'mirror': True},
        {'precision': 'bfloat16'},
    ],
    ids=str,
)
def test_other_ways_are_not_compared(write, change):
    ((name, value),) = change.items()
    with pytest.raises(UserError, match=f'fid10k of a and of b cannot be compared: .*{name}: .* and {value!r}'):
        results.compared([write('a', {}), write('b', change)])


@pytest.mark.parametrize('text', ['{"metric": "fid"}', 'fid 5', '[]', '{"metric": "fid", "value": "x"}'])
def test_other_files_are_no_results(tmp_path, text):
    path = tmp_path / 'file'
    path.write_text(text + '\n')
    with pytest.raises(UserError, match='file: line 1 is no result'):
        results.read(path)


def test_missing_file():
    with pytest.raises(UserError, match='nowhere: cannot be read'):
        results.read('nowhere')


def test_file_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match='results cannot be written'):
        results.append(tmp_path, [RESULT])


def test_line_for_people():
    assert results.line(RESULT | {'standard_error': 0.25}).split() == (
        'fid10k 12.5 ± 0.25 10,000 fakes, 10,000 reals, inception-2015, legacy'.split()
    )
