"""The report of a run: whole, safe, small, also of runs that are new, damaged or long; and as a browser shows it."""

import dataclasses
import html.parser
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import PIL.Image
import pytest

import tiny_run
from stylegan_jax import report
from stylegan_jax.config import ImageConfig, serialization
from stylegan_jax.report import __main__ as command
from stylegan_jax.report import commands, curves, pictures, plots, reading
from stylegan_jax.report.markup import data, element
from stylegan_jax.run import loop, reporting

_CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
_VOID = 'img', 'input', 'meta'
_HOSTILE = '</script></pre><img src=x onerror="alert(1)">\'"&<!-- '


class Page(html.parser.HTMLParser):
    """Reads a page strictly: what is opened is closed, in order, and no two elements have one name."""

    def __init__(self, text):
        super().__init__()
        self._open, self.ids, self.tags, self.texts, self.attributes = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self._open
        assert len(set(self.ids)) == len(self.ids)

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes), (tag, attributes)
        self.tags.append(tag)
        self.attributes.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == 'id']
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, text):
        self.texts.append((self._open[-1] if self._open else '', text))

    def text_in(self, tag):
        return [text for where, text in self.texts if where == tag]

    @property
    def data(self):
        """What the page's script reads."""
        (text,) = [text for text in self.text_in('script') if text.startswith('{')]
        return json.loads(text)


def page_of(workdir):
    """Writes a report, and reads it."""
    with open(report.write(str(workdir)), encoding='utf-8') as file:
        return Page(file.read())


def write_run(folder, entries=(), events=(), metrics=(), config=None):
    """A run's folder without a training."""
    folder.mkdir(exist_ok=True)
    for name, lines in (('log', entries), ('events', events), ('metrics', metrics)):
        if lines:
            (folder / f'{name}.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    (folder / 'config.json').write_text(serialization.to_json(config or tiny_run.run_config()))


def write_noise(path, side):
    """Noise, which compresses worst."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path, compress_level=0)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """The folder of a finished run."""
    workdir = tmp_path_factory.mktemp('report') / 'run'
    assert loop.train(tiny_run.run_config(), str(workdir)) == 0
    return workdir


def test_training_leaves_a_whole_report(run):
    text = (run / 'report.html').read_text()
    page = Page(text)
    assert 'finished' in page.text_in('p')[0] and '0.16 of 0.16 kimg' in page.text_in('dd')
    entries = tiny_run.log_entries(run)
    assert page.data['kimg'] == [entry['kimg'] for entry in entries]
    assert page.data['curves']['Losses/g_loss'] == [f'{entry["g_loss"]:.4g}' for entry in entries]
    assert '0.064 kimg, 8x8, fading in at alpha 0.50 (fakes000000064.png)' in page.data['captions']
    assert [image['alt'] for tag, image in page.attributes if tag == 'img' and 'hidden' not in image] == [
        'samples at 0.16 kimg',
        'training images',
    ]
    assert page.tags.count('svg') == len(curves.plots(reading.read(str(run)))) >= 8
    assert 'done' in page.text_in('td') and '--config.image.resolution=8' in '\n'.join(page.text_in('pre'))
    machine = reading.read(str(run)).newest('machine')
    assert machine['jax'] in page.text_in('dd') and machine['processor'] in page.text_in('dd')
    assert [name for name in os.listdir(run) if 'report' in name] == ['report.html']


def test_report_fetches_nothing(run):
    text = (run / 'report.html').read_text()
    assert not re.search(r'https?:|//[a-z]|@import|url\((?!#)', re.sub(r'base64,[^"]*|// .*', '', text))
    for _, attributes in Page(text).attributes:
        for name in 'src', 'href':
            assert attributes.get(name, '#').startswith(('#', 'data:image/webp;base64,'))
    assert "default-src 'none'" in text


def test_colours_of_plots_are_those_of_the_page(run):
    """A stand-in that stayed would be invisible in the dark."""
    text = (run / 'report.html').read_text()
    svgs = ''.join(re.findall(r'<svg.*?</svg>', text, re.DOTALL))
    assert not re.findall(r'#[0-9a-f]{6}', svgs)
    for name in re.findall(r'var\(--([a-z0-9]+)\)', svgs):
        assert text.count(f'--{name}: ') == 2, 'light, and dark'


def test_new_run_has_a_report(tmp_path):
    write_run(tmp_path / 'new', events=[{'time': '2026-01-01T00:00:00', 'nimg': 0, 'event': 'start', 'text': 'x'}])
    page = page_of(tmp_path / 'new')
    assert {'No samples yet.', 'No tick yet.'} <= {*page.text_in('p')} and 'training' in page.text_in('p')[0]


@pytest.mark.parametrize('where', ['config', 'event', 'log', 'metric', 'machine'])
def test_text_of_records_stays_text(tmp_path, where):
    config, metric = tiny_run.run_config(), {'nimg': 8, 'metric': 'fid', 'value': 1.0}
    event, entry = {'nimg': 8, 'event': 'start', 'text': 'begun'}, {'nimg': 8, 'g_loss': 1.0}
    if where == 'config':
        config = dataclasses.replace(config, name=_HOSTILE)
    elif where == 'event':
        event |= {'event': _HOSTILE, 'time': _HOSTILE, 'text': _HOSTILE}
    elif where == 'log':
        entry |= {_HOSTILE: 2.0, 'resolution': _HOSTILE}
    elif where == 'metric':
        metric['metric'] = _HOSTILE
    else:
        event |= {'event': 'machine', 'arguments': [_HOSTILE, '; rm -r x'], 'folder': _HOSTILE, 'processor': _HOSTILE}
    write_run(tmp_path / 'run', [entry], [event], [metric], config)
    write_noise(tmp_path / 'run' / 'fakes000000008.png', 8)
    page = page_of(tmp_path / 'run')
    assert page.tags.count('img') == 1 and page.tags.count('script') == 2
    assert not [attributes for _, attributes in page.attributes if 'onerror' in attributes]
    assert any('onerror' in text for _, text in page.texts)


def test_commands_cannot_hide_others(tmp_path):
    arguments = ['--workdir=a b', '$(reboot)', ';x']
    write_run(tmp_path / 'run', events=[{'nimg': 0, 'event': 'machine', 'arguments': arguments, 'folder': "/it's"}])
    _, lines = commands.commands(reading.read(str(tmp_path / 'run')))[0]
    words = subprocess.run(
        ['sh', '-c', lines[1].replace('python -m', 'printf "%s\\n"', 1)], text=True, check=True, capture_output=True
    ).stdout.splitlines()
    assert words == ['stylegan_jax.main', *arguments]
    assert lines[0] == "cd '/it'\"'\"'s'"


def test_command_of_a_shipped_experiment_names_what_was_changed(tmp_path):
    from stylegan_jax.experiments.quickstart import get_config

    from stylegan_jax.config.schedule import resolve

    config = get_config()
    config = resolve(
        dataclasses.replace(
            config, seed=7, precision='float32', train=dataclasses.replace(config.train, total_kimg=9.0)
        )
    )
    write_run(tmp_path / 'run', config=config)
    run = reading.read(str(tmp_path / 'run'))
    assert commands.changed_settings(run.config) == [('seed', 0, 7), ('train.total_kimg', 80.0, 9.0)]
    _, (line,) = commands.commands(run)[0]
    assert line == (
        f'python -m stylegan_jax.main --experiment=quickstart --workdir={tmp_path}/run --config.seed=7 '
        '--config.train.total_kimg=9.0'
    )
    cells = page_of(tmp_path / 'run').text_in('td')
    assert '9.0' in cells and '80.0' in cells


@pytest.mark.parametrize('label_dim', [0, 3])
def test_the_command_for_pictures_says_that_it_draws_all_classes(tmp_path, label_dim):
    write_run(tmp_path / 'run', config=tiny_run.run_config(image=ImageConfig(8, label_dim=label_dim)))
    lines = dict(commands.commands(reading.read(str(tmp_path / 'run'))))
    title = 'Make pictures of all labels in turn, or of one class with --class=…' if label_dim else 'Make pictures'
    assert lines[title] == [
        f'python -m stylegan_jax.generate --network={tmp_path}/run --outdir={tmp_path}/run/generated --seeds=0-15'
    ]


def test_experiment_of_ones_own_is_not_run(tmp_path, monkeypatch):
    """A name in config.json is no reason to execute a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'evil.py').write_text('raise SystemExit("executed")')
    for name in './evil.py', '../evil', 'evil', '':
        assert commands.changed_settings(dataclasses.replace(tiny_run.run_config(), name=name)) is None


@pytest.mark.parametrize(
    'damage', ['{"nimg": 50, "g_lo', '\x00\xff', '[1]', 'null', '{"nimg": "x"}', '{"nimg": NaN}', '1e999']
)
def test_torn_lines_are_passed_over(run, tmp_path, damage):
    shutil.copytree(run, tmp_path / 'run', ignore=shutil.ignore_patterns('checkpoints', 'tensorboard'))
    before = page_of(tmp_path / 'run').data
    for name in 'log.jsonl', 'events.jsonl', 'metrics.jsonl':
        with open(tmp_path / 'run' / name, 'a', encoding='latin-1') as file:
            file.write(damage)
    assert page_of(tmp_path / 'run').data == before


def test_damaged_config_and_picture_are_said_or_left_out(run, tmp_path):
    shutil.copytree(run, tmp_path / 'run', ignore=shutil.ignore_patterns('checkpoints', 'tensorboard'))
    text = (tmp_path / 'run' / 'config.json').read_text()
    (tmp_path / 'run' / 'config.json').write_text(text.replace('"seed"', '"sead"'))
    picture = tmp_path / 'run' / 'fakes000000160.png'
    picture.write_bytes(picture.read_bytes()[:100])
    page = page_of(tmp_path / 'run')
    assert any('config.json is damaged or of another version' in text and 'sead' in text for text in page.text_in('p'))
    assert page.data['kimg'] == [0.032, 0.064, 0.096, 0.128] and '"sead"' in '\n'.join(page.text_in('pre'))


def test_what_is_no_number_is_a_gap(tmp_path):
    entries = [
        {'nimg': nimg, 'g_loss': value, 'd_loss': None, 'other': True}
        for nimg, value in ((1000, 1.0), (2000, None), (3000, 'x'), (4000, 4.0))
    ]
    write_run(tmp_path / 'run', entries)
    (plot,) = curves.plots(reading.read(str(tmp_path / 'run')))
    (curve,) = plot.curves
    np.testing.assert_array_equal(curve.values, [1, np.nan, np.nan, 4])
    assert [curves.at(curve, kimg) for kimg in (0.5, 1, 2.5, 4)] == ['–', '1', '–', '4']
    page_of(tmp_path / 'run')


def test_thinned_curve_keeps_its_peaks():
    x, y = np.arange(10_000.0), np.random.default_rng(0).standard_normal(10_000)
    y[[17, 5_000, 9_999]] = 90, -80, 70
    y[6_000:6_200] = np.nan
    few_x, few_y = plots.thinned(x, y)
    assert len(few_x) <= 400 and (np.diff(few_x) > 0).all()
    assert {90, -80, 70} <= {*few_y} and np.isnan(few_y[(few_x >= 6_000) & (few_x < 6_200)]).any()
    np.testing.assert_array_equal(few_y, y[few_x.astype(int)])


def test_chosen_pictures_are_spread_and_stay():
    """A run that goes on needs few new ones."""
    positions, before = [], set()
    for step in range(1, 400):
        positions.append(step * 1000 + step % 7)
        chosen = pictures.spread(positions)
        assert chosen[0] == 0 and chosen[-1] == step - 1 and len(chosen) <= pictures.MOST
        assert len(chosen) >= min(step, pictures.MOST // 2)
        gaps = np.diff([positions[index] for index in chosen[:-1]])
        assert step < 60 or gaps.max() <= 2.1 * gaps.min()
        new = {*chosen} - before
        assert len(new) <= 2, 'the last one, and the one that was last before'
        before = {*chosen}


@pytest.mark.full
def test_long_run_with_large_pictures_stays_small(tmp_path):
    """30 grids of noise, 4,000 ticks, 2,000 events, and all plots."""
    names = [name for _, _, names in curves._PLOTS for name in names] + [f'other{i}' for i in range(20)]
    values = np.random.default_rng(0).random((4_000, len(names))) + 0.5
    entries = [{'nimg': 1000 * (i + 1), **dict(zip(names, row.tolist(), strict=True))} for i, row in enumerate(values)]
    events = [{'nimg': i, 'event': 'skipped', 'text': 'x' * 5000} for i in range(2_000)]
    metrics = [
        {'nimg': 1000 * i, 'metric': f'm{i % 20}', 'value': i + 0.5, 'standard_error': 0.1} for i in range(4_000)
    ]
    write_run(tmp_path / 'run', entries, events, metrics)
    write_noise(tmp_path / 'run' / 'reals.png', 900)
    for i in range(30):
        shutil.copy(tmp_path / 'run' / 'reals.png', tmp_path / 'run' / f'fakes{i * 130:06d}.png')
    page = page_of(tmp_path / 'run')
    assert os.path.getsize(tmp_path / 'run' / 'report.html') < 6e6
    assert 12 <= page.tags.count('img') - 1 <= pictures.MOST and page.text_in('td').count('skipped') == 400
    assert any('1600 earlier ones' in text for text in page.text_in('p'))


def test_results_of_other_ways_are_curves_of_their_own(tmp_path):
    fid = {'metric': 'fid10k', 'nimg': 8000, 'value': 12.5, 'in_training': True, 'which': 'ema', 'psi': 1.0}
    other = {'metric': 'fid10k', 'nimg': 8000, 'value': 99.5, 'which': 'G', 'psi': 0.3}
    write_run(tmp_path / 'run', metrics=[fid, fid | {'nimg': 16000, 'value': 11.25}, other])
    run = reading.read(str(tmp_path / 'run'))
    (plot,) = curves.plots(run)
    assert [(curve.name, [*curve.values]) for curve in plot.curves] == [
        ('fid10k', [12.5, 11.25]),
        ('psi=0.3, which=G', [99.5]),
    ]
    cards = dict(zip(page_of(tmp_path / 'run').text_in('dt'), page_of(tmp_path / 'run').text_in('dd')))
    assert cards['fid10k'] == '11.25'


def test_two_pictures_within_a_thousand_images_are_told_apart(tmp_path):
    """The last tick of a run may follow the one before it closely; its picture has nine digits then."""
    for name in ('fakes000159.png', 'fakes000160.png', 'fakes000160500.png'):
        (tmp_path / name).touch()
    found = reading._pictures(tmp_path, [{'nimg': 159_744}, {'nimg': 160_000}, {'nimg': 160_500}])
    assert found == [
        (159_744, 'fakes000159.png'),
        (160_000, 'fakes000160.png'),
        (160_500, 'fakes000160500.png'),
    ]


def test_picture_is_encoded_once(run, monkeypatch):
    encoded, encode = [], pictures._encode
    monkeypatch.setattr(pictures, '_encode', lambda path: encoded.append(path) or encode(path))
    kept = report.Pictures()
    report.write(str(run), kept)
    assert len(encoded) == 6
    os.utime(run / 'fakes000000160.png')
    report.write(str(run), kept)
    assert len(encoded) == 7


def test_users_settings_of_matplotlib_stay(run):
    import matplotlib

    with matplotlib.rc_context({'svg.fonttype': 'path', 'text.usetex': True, 'lines.linewidth': 9}):
        before, backend = dict(matplotlib.rcParams), matplotlib.rcParams._get_backend_or_none()
        text = pathlib.Path(report.write(str(run))).read_text()
        assert dict(matplotlib.rcParams) == before and matplotlib.rcParams._get_backend_or_none() == backend
    assert '>kimg</text>' in text


@pytest.mark.parametrize(
    'left, end, shown',
    [((60.0, 60.0), None, '1m 00s'), ((60.0, 7200.0), 'stop', '1m 00s to 2h 00m 00s'), ((0.0, 0.0), 'done', None)],
)
def test_time_that_is_left_is_shown_until_the_end(tmp_path, left, end, shown):
    entry = {'nimg': 100, 'seconds_left': left[0], 'seconds_left_at_most': left[1]}
    events = [{'nimg': 0, 'event': kind} for kind in ('start', end) if kind]
    write_run(tmp_path / 'run', entries=[entry], events=events)
    page = page_of(tmp_path / 'run')
    assert ('Time left' in page.text_in('dt')) == bool(shown) and (shown is None or shown in page.text_in('dd'))


def test_failing_report_does_not_end_a_training(tmp_path, monkeypatch):
    calls = []

    def fail(*_):
        calls.append(None)
        raise ZeroDivisionError('nothing to draw')

    monkeypatch.setattr(reporting.report, 'write', fail)
    monkeypatch.setattr(reporting, '_REPORT_SHARE', 1e6)
    assert loop.train(tiny_run.run_config(), str(tmp_path)) == 0
    events = [json.loads(line) for line in (tmp_path / 'events.jsonl').read_text().splitlines()]
    (text,) = [event['text'] for event in events if event['event'] == 'report']
    assert 'ZeroDivisionError: nothing to draw' in text
    assert len(calls) == 1 + 4 + 1, 'at the start, at each checkpoint between, and at the end'


def test_report_takes_little_of_a_run(tmp_path, monkeypatch):
    """The second report here costs so much that there is only one more, at the end."""
    calls = []

    def write(*_):
        calls.append(None)
        time.sleep(0.05 if len(calls) == 2 else 0)
        monkeypatch.setattr(reporting, '_REPORT_SHARE', 1e-6 if len(calls) == 2 else 1e6)

    monkeypatch.setattr(reporting.report, 'write', write)
    assert loop.train(tiny_run.run_config(), str(tmp_path)) == 0
    assert len(calls) == 3


def test_command_writes_it_anew(run, run_command):
    (run / 'report.html').unlink()
    code, out, _ = run_command(command, f'--run={run}')
    assert code == 0 and out.strip() == str(run / 'report.html') and (run / 'report.html').exists()


@pytest.mark.parametrize(
    'flags, message', [([], '--run is missing'), (['--run=nowhere'], '--run=nowhere: there is no run')]
)
def test_command_without_a_run_says_so(run_command, flags, message):
    code, _, err = run_command(command, *flags)
    assert code == 2 and message in err and err.count('\n') == 1


def test_markup_escapes_what_is_not_markup():
    assert element('p', '<b>', element('i', '&'), [1, None], class_='"x"', hidden=True, id=None) == (
        '<p class="&quot;x&quot;" hidden>&lt;b&gt;<i>&amp;</i>1</p>'
    )
    assert '</script>' not in data('x', {'a': '</script>'})[: -len('</script>')]


@pytest.mark.skipif(_CHROMIUM is None, reason='no Chromium is installed')
@pytest.mark.parametrize('width', [390, 1280])
def test_browser_shows_it_without_a_complaint(run, tmp_path, width):
    """In a frame, because windows have a least width. A script works the slider; what it finds becomes the title."""
    text = (run / 'report.html').read_text()
    probe = """<script>addEventListener('load', () => {
      const last = grids.map((grid) => grid.hidden);
      document.querySelector('.canvas').dispatchEvent(new MouseEvent('click', {clientX: 0}));
      parent.postMessage(JSON.stringify({
        width: innerWidth, content: document.documentElement.scrollWidth, slider: slider.value, last: last,
        first: grids.map((grid) => grid.hidden), pixels: grids[0].naturalWidth}), '*'); });</script></head>"""
    (tmp_path / 'report.html').write_text(text.replace('</head>', probe, 1))
    page = tmp_path / 'page.html'
    page.write_text(f'''<title></title><script>onmessage = (event) => {{ document.title = event.data; }};</script>
                        <iframe src="report.html" width="{width}" height="900" style="border: 0"></iframe>''')
    process = subprocess.Popen(
        [
            _CHROMIUM,
            '--headless=new',
            '--no-sandbox',
            '--disable-gpu',
            '--disable-dev-shm-usage',
            '--enable-logging=stderr',
            f'--user-data-dir={tmp_path}/browser',
            '--window-size=1400,1000',
            '--virtual-time-budget=3000',
            '--dump-dom',
            page.as_uri(),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert 'CONSOLE' not in err, err
    found = json.loads(html.unescape(re.search('<title>(.*?)</title>', out)[1]))
    assert found['content'] <= found['width'] == width, 'it can be scrolled sideways'
    assert found['last'] == [True, True, True, True, False] and found['first'] == [False, True, True, True, True]
    assert found['slider'] == '0' and found['pixels'] > 0
