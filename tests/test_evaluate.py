"""The command that measures networks, as a user meets it."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

import reference_case
import tiny
import tiny_run
import torch_writer
from stylegan_jax import evaluate
from stylegan_jax.config import GeneratorConfig, ImageConfig, ScheduleConfig
from stylegan_jax.data.toy_faces import kept
from stylegan_jax.errors import UserError
from stylegan_jax.evaluation import results
from stylegan_jax.evaluation.gathering import Store
from stylegan_jax.feature_networks import catalogue, inception
from stylegan_jax.storage.checkpoint import Checkpoints

CONFIG = tiny.generator_config(image=ImageConfig(32))


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    """Path of a saved network of 32x32."""
    return tiny.saved(tiny.generator(CONFIG), tmp_path_factory)


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory):
    """A run of 32x32 with checkpoints at 16 and 32 images."""
    config = tiny_run.run_config(image=ImageConfig(32), schedule=ScheduleConfig(initial_resolution=32, batch=4))
    workdir = str(tmp_path_factory.mktemp('run'))
    checkpoints = Checkpoints(workdir, keep=2)
    for nimg, seed in ((16, 1), (32, 2)):
        state = tiny.state(config, ema=tiny.filled(tiny.generator(config.generator), seed=seed))
        checkpoints.save(nimg, state, config, {})
        checkpoints.wait()
    checkpoints.close()
    return workdir


@pytest.fixture
def run(run_command):
    """Returns a function that runs the command in an empty folder, and gives (exit code, stdout, stderr)."""
    return functools.partial(run_command, evaluate, '--store=store', '--batch=8')


@pytest.fixture
def error(run):
    """Returns a function that runs the command and gives the one line on stderr that it ends with."""

    def error(*args):
        code, out, err = run(*args)
        assert code == 2 and err.startswith('error: ') and err.count('\n') == 1, (code, out, err)
        return err

    return error


@pytest.mark.smoke
def test_saved_network(run, network):
    code, out, err = run(
        f'--network={network}', '--data=toy_faces', '--data_count=40', '--metrics=fd_toy24,fd_toy24_full'
    )
    assert code == 0, err
    one, other = results.read('metrics.jsonl')
    *lines, last = out.splitlines()
    assert [line.split()[0] for line in lines] == ['fd_toy24', 'fd_toy24_full']
    assert last == 'written to metrics.jsonl'
    assert (one['reals'], other['reals'], one['network_path']) == (24, 40, network)
    assert one['devices'] == jax.local_device_count() and 'nimg' not in one


def test_run_knows_its_images_and_its_place(run, run_dir):
    for kimg in ((), ('--kimg=0.016',)):
        code, _, err = run(f'--network={run_dir}', '--metrics=fd_toy24', *kimg)
        assert code == 0, err
    newest, first = results.read(os.path.join(run_dir, 'metrics.jsonl'))
    assert (newest['nimg'], first['nimg'], newest['lod']) == (32, 16, 0)
    assert newest['data'] == 'ToyFaces 40' and newest['network'] != first['network']
    code, out, _ = run(f'--network={run_dir}', '--metrics=fd_toy24', '--kimg=all', '--results=all.jsonl')
    *lines, last = out.splitlines()
    assert code == 0 and [line.split()[:3] for line in lines] == [['0.0', 'kimg', 'fd_toy24']] * 2
    assert last == 'written to all.jsonl'
    assert [result['value'] for result in results.read('all.jsonl')] == pytest.approx([first['value'], newest['value']])
    code, out, _ = run(f'--compare={run_dir}/metrics.jsonl')
    assert code == 0 and out.split()[-3:] == ['fd_toy24', f'{newest["value"]:.6g}', f'{first["value"]:.6g}']


def test_all_checkpoints_of_a_run_that_trains(run_dir, tmp_path, capsys):
    """Those that it deleted are passed over, and those that it saved meanwhile come in the end."""
    there = shutil.copytree(os.path.join(run_dir, 'checkpoints'), tmp_path / 'checkpoints')
    own = flagsaver.save_flag_values(evaluate.FLAGS)
    try:
        evaluate.FLAGS(['evaluate', f'--network={tmp_path}', '--kimg=all'])
        subjects = evaluate._subjects(is_run=True)
        assert next(subjects).nimg == 16
        (there / '32').rename(there / '48')
        assert [subject.nimg for subject in subjects] == [48]
        assert capsys.readouterr().err == 'the checkpoint at 0.032 kimg was deleted before it was measured\n'
        shutil.rmtree(there / '48' / 'state')
        with pytest.raises(UserError, match='checkpoints/48: this checkpoint cannot be read'):
            list(evaluate._subjects(is_run=True))
    finally:
        flagsaver.restore_flag_values(own, evaluate.FLAGS)


@pytest.mark.parametrize('name', [name for name, weights in catalogue.KNOWN.items() if weights.url])
def test_the_command_that_the_error_names_fetches_the_weights(run_command, monkeypatch, tmp_path, name):
    """And nothing else; it needs no network."""
    monkeypatch.setenv('STYLEGAN_JAX_CACHE', str(tmp_path / 'cache'))
    with pytest.raises(UserError) as missing:
        catalogue.find(name)
    arguments = str(missing.value).partition('python -m stylegan_jax.evaluate ')[2].partition('`')[0].split()
    asked = []

    def fetch(file, where):
        asked.append((file, where))
        raise UserError('there is no internet here')

    monkeypatch.setattr(catalogue, '_fetch', fetch)
    code, out, err = run_command(evaluate, *arguments)
    assert (code, out) == (2, '') and 'there is no internet here' in err
    assert asked == [(catalogue.KNOWN[name], str(tmp_path / 'cache' / 'weights'))]


def test_weights_that_are_here_are_not_fetched(run_command, monkeypatch, tmp_path):
    path = tmp_path / 'cache' / 'weights' / catalogue.KNOWN['inception-2015'].file
    path.parent.mkdir(parents=True)
    arrays = {name: np.ones(shape, np.float32) for name, shape in inception.array_shapes().items()}
    torch_writer.write(path, {name: torch_writer.Tensor.of(array) for name, array in arrays.items()})
    monkeypatch.setenv('STYLEGAN_JAX_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr(catalogue, '_fetch', None)
    code, out, err = run_command(evaluate, '--metrics=fid10,fd_toy,sticking', '--download')
    assert (code, out) == (0, 'the weights for fid10,fd_toy,sticking are here\n'), err
    assert os.listdir() == ['cache']
    options = f'--inception={path}', '--classifiers=toy_faces'
    code, out, _ = run_command(evaluate, '--metrics=fid10', '--download', *options)
    assert (code, out) == (0, 'the weights for fid10 are here\n')


@pytest.mark.parametrize(
    'flag, name',
    [
        ('--data=toy_faces', 'data'),
        ('--kimg=all', 'kimg'),
        ('--results=results.jsonl', 'results'),
        ('--nomirror', 'mirror'),
        ('--class=1', 'class'),
        ('--network=', 'network'),
    ],
)
def test_flags_that_only_measuring_has_are_not_for_fetching(run_command, flag, name):
    """Whoever gives them has forgotten --network."""
    code, out, err = run_command(evaluate, '--metrics=fd_toy', '--download', flag)
    assert (code, out) == (2, '')
    assert err == (
        f'error: --{name}: without --network the weights are fetched, and nothing is measured; give --network as well, '
        'or leave this out\n'
    )


def test_official_pickle(run):
    path = reference_case.pickle_path('a32')
    code, out, err = run(f'--network={path}', '--data=toy_faces', '--data_count=30', '--metrics=fd_toy24')
    assert code == 0, err
    assert out.startswith('fd_toy24 ')


def test_stopped_in_the_middle_goes_on(network, tmp_path):
    """SIGTERM ends it within a second, whatever it is doing, and with what it did; the values are those of one pass."""

    def args(store):
        return [
            sys.executable,
            '-m',
            'stylegan_jax.evaluate',
            f'--network={network}',
            '--batch=16',
            '--metrics=ls2k',
            f'--store={tmp_path / store}',
            f'--results={tmp_path / store}.jsonl',
        ]

    first = subprocess.Popen(args('stopped'), stderr=subprocess.PIPE, text=True)
    kept = []
    while first.poll() is None and not (kept and kept[0].stat().st_size):
        kept = list((tmp_path / 'stopped').glob('*/logits.rows.*'))
        time.sleep(0.02)
    sent = time.monotonic()
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 143
    assert time.monotonic() - sent < 1
    assert 'stopped; what was done is kept' in first.stderr.read()
    assert 0 < kept[0].stat().st_size < 2000 * 16 * 4 and not (tmp_path / 'stopped.jsonl').exists()
    for store in 'stopped', 'whole':
        subprocess.run(args(store), check=True, capture_output=True)
    stopped, whole = (
        [result['value'] for result in results.read(tmp_path / f'{store}.jsonl')] for store in ('stopped', 'whole')
    )
    assert len(whole) == 2 and stopped == whole


# What users get wrong.


@pytest.mark.parametrize(
    'args, expected',
    [
        (['--metrics=fid50k'], '--network is missing; see --help; --download without it fetches the weights alone'),
        (['--network=nowhere.pkl', '--metrics=fd_toy'], 'nowhere.pkl: No such file'),
        (['--network=NETWORK'], '--metrics is missing'),
        (['--network=NETWORK', '--metrics=fidd'], "metric 'fidd': there is none"),
        (['--network=NETWORK', '--metrics=fd_toy'], '--data: fd_toy compares with real images; give them'),
        (['--network=NETWORK', '--metrics=fd_toy', '--data=toy_faces', '--data_count=40'], 'needs 5,000 real images'),
        (['--network=NETWORK', '--metrics=fd_toy24', '--data=toy_faces', '--psi=nan'], '--psi=nan'),
        (['--network=NETWORK', '--metrics=fd_toy24', '--data=nowhere'], 'nowhere'),
        (['--network=NETWORK', '--metrics=fd_toy24', '--kimg=5'], 'only a run has checkpoints'),
        (['--network=NETWORK', '--metrics=ppl_wend8', '--vgg=NETWORK'], 'NETWORK: '),
        (['--network=NETWORK', '--metrics=ls40', '--classifiers=NETWORK'], 'holds a generator, and a classifier'),
        (
            ['--network=RUN', '--metrics=fd_toy24', '--kimg=0.02'],
            'no checkpoint at 0.02 kimg; there are those at 0.016, 0.032',
        ),
        (['--network=RUN', '--metrics=fd_toy24', '--kimg=some'], '--kimg=some: give numbers'),
        (
            ['--network=RUN', '--metrics=fd_toy24', '--kimg=0.016,0.02'],
            'no checkpoint at 0.02 kimg; there are those at 0.016, 0.032',
        ),
        (
            ['--network=NETWORK', '--metrics=ls40', '--results=nowhere/there.jsonl'],
            '--results=nowhere/there.jsonl: results cannot be written (there is no folder',
        ),
        (['--network=NETWORK', '--metrics=ls40', '--results=.'], '--results=.: results cannot be written (Is a dir'),
        (['--compare=nowhere.jsonl'], 'nowhere.jsonl: cannot be read'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_mistakes(error, network, run_dir, args, expected):
    args = [arg.replace('NETWORK', network).replace('RUN', run_dir) for arg in args]
    assert expected.replace('NETWORK', network) in error(*args)


@pytest.mark.parametrize(
    'args, expected',
    [
        (['--metrics=fd_toy24,fid24', '--inception=NETWORK'], 'NETWORK: '),
        (['--metrics=fd_toy24,fd_toy10001'], 'fd_toy10001 needs 10,001 real images, and the data set has 10,000'),
        (
            ['--metrics=fd_toy24,fd_toy5k', '--data_count=40'],
            'the data set has 40; ask for all of them (fd_toy5k_full)',
        ),
        (['--metrics=fd_toy24', '--results=nowhere/there'], 'results cannot be written'),
    ],
)
def test_mistakes_are_found_before_anything_is_drawn_or_measured(error, network, monkeypatch, args, expected):
    monkeypatch.setattr(kept, 'draw_some', None)
    monkeypatch.setattr(Store, 'gather', None)
    args = [arg.replace('NETWORK', network) for arg in args]
    assert expected.replace('NETWORK', network) in error(f'--network={network}', '--data=toy_faces', *args)


def test_a_latent_space_is_missed_before_another_metric_is_measured(error, tmp_path_factory, monkeypatch):
    config = GeneratorConfig.progan(ImageConfig(32), z_dim=8, fmap_base=32, fmap_max=8)
    monkeypatch.setattr(Store, 'gather', None)
    path = tiny.saved(tiny.generator(config), tmp_path_factory)
    message = error(f'--network={path}', '--data=toy_faces', '--metrics=fd_toy24,ppl_wend8', '--vgg=random')
    assert 'a Progressive GAN generator has no intermediate latents' in message


def test_data_set_of_another_size(error, network, run_command, tmp_path):
    from stylegan_jax import prepare_data

    code, _, err = run_command(prepare_data, '--source=toy_faces:20@16', '--out=set', '--resolution=16', '--workers=0')
    assert code == 0, err
    message = error(f'--network={network}', '--metrics=fd_toy10', '--data=set')
    assert 'set has at most 16 pixels' in message and message.endswith(
        '; the network needs images of 32x32x3: give such ones, or make a set of those that suffice with prepare_data '
        '--resolution=32 --max_skipped=SHARE\n'
    )


def test_a_class_is_for_metrics_without_real_images(run, error, tmp_path_factory):
    generator = tiny.generator(tiny.generator_config(image=ImageConfig(32, label_dim=3)))
    network = tiny.saved(generator, tmp_path_factory)
    message = error(f'--network={network}', '--metrics=fd_toy24', '--class=1')
    assert '--class=1: fd_toy24 compares with real images of all classes' in message
    assert 'class 3 does not exist' in error(f'--network={network}', '--metrics=ls24', '--class=3')
    code, _, err = run(f'--network={network}', '--metrics=ls24', '--class=1')
    assert code == 0, err
    assert results.read('metrics.jsonl')[0]['labels'].startswith('class 1 (')


def test_a_class_for_a_network_without(error, network):
    assert 'network without labels' in error(f'--network={network}', '--metrics=ls24', '--class=1')
