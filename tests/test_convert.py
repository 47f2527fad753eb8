"""The command that converts networks, and what other commands make of the files."""

import os
import pathlib

import numpy as np
import PIL.Image
import pytest

import stylegan_jax as sgj
import tiny
import tiny_run
from stylegan_jax import convert, evaluate, generate, training
from stylegan_jax.config import ImageConfig
from stylegan_jax.conversion import checking, forms
from stylegan_jax.evaluation import evaluator
from stylegan_jax.storage import safetensors_file
from stylegan_jax.storage.transfer import transferred


def test_a_file_is_written_and_what_was_checked_is_said(run_command, tmp_path):
    code, out, err = run_command(convert, '--network=toyfaces', '--out=toy.safetensors', '--which=all')
    assert not code and not err
    first, *checked = out.splitlines()
    assert first.startswith('toy.safetensors: ema and D as a .safetensors file, ')
    assert checked == [
        'checked: read back, all arrays are the same byte for byte',
        'checked: ema: 8 images of 32x32 differ by 0 at most, by 0 on average',
        'checked: D: 8 scores of images of 32x32 differ by 0 at most, by 0 on average',
    ]
    assert tiny.trees_equal(sgj.load('toy.safetensors'), sgj.load('toyfaces'))
    code, out, _ = run_command(convert, '--network=toyfaces', '--out=toy.safetensors')
    assert not code and 'it replaces a file of that name' in out
    code, out, _ = run_command(convert, '--network=toy.safetensors', '--describe')
    assert not code and out.startswith('toy.safetensors: a .safetensors file') and len(out.splitlines()) == 3


def test_a_difference_above_the_bound_ends_with_2_and_leaves_nothing(run_command, tmp_path, monkeypatch):
    images = iter([np.zeros((8, 2, 2, 3)), np.ones((8, 2, 2, 3))] * 2)
    monkeypatch.setattr(checking, 'drawn', lambda *args, kind: next(images))
    code, out, err = run_command(convert, '--network=toyfaces', '--out=toy.npz')
    assert code == 2 and err.startswith('error: toy.npz: ema: 8 images of 2x2 differ by ') and err.count('\n') == 1
    assert not os.listdir(tmp_path) and not out
    code, out, err = run_command(convert, '--network=toyfaces', '--out=toy.npz', '--bound=5')
    assert not code and os.listdir(tmp_path) == ['toy.npz']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--out=x.npz'], '--network is missing'),
        (['--network=toyfaces'], '--out is missing'),
        (['--network=toyfaces', '--out=x.pkl'], '--out=x.pkl: its ending tells no form'),
        (['--network=toyfaces', '--out=x.npz', '--which=all'], '--which=all: the form npz holds one network'),
        (
            ['--network=toyfaces', '--out=x.npz', '--psi=0.5'],
            '--psi=0.5: the form npz has no such choice; leave it out',
        ),
        (['--network=toyfaces', '--out=x.npz', '--psi=half'], '--psi=half: give a number, or input'),
        (['--network=toyfaces', '--out=x.npz', '--lod=9'], '--lod=9.0: give a level of detail from 0'),
        (['--network=toyfaces', '--out=x.npz', '--describe'], '--out=x.npz: nothing is written with --describe'),
        (['--network=toyfaces', '--out=missing/x.npz'], '--out=missing/x.npz: cannot be written'),
        (['--network=missing', '--describe'], 'missing: No such file or directory'),
    ],
    ids=lambda value: value if isinstance(value, str) else ' '.join(value),
)
def test_mistakes_are_one_line(run_command, tmp_path, arguments, message):
    code, out, err = run_command(convert, *arguments)
    assert code == 2 and err.startswith(f'error: {message}') and err.count('\n') == 1 and not out
    assert not os.listdir(tmp_path)


def test_every_form_is_in_the_table_of_the_documentation():
    document = (pathlib.Path(__file__).parents[1] / 'docs' / 'conversion.md').read_text()
    for name, form in forms.FORMS.items():
        assert all(f'`{ending}`' in document for ending in form.endings)
        assert form.endings or f'--form={name}' in document


def test_what_is_beside_the_file_and_what_is_lost_is_said(run_command, monkeypatch):
    def write(path, request):
        safetensors_file.write(path, request.networks)
        safetensors_file.write(f'{path}.beside', request.networks)
        return ['the digits']

    form = forms.Form('other', 'another file', write, ('.other',), bounds={None: 1e-3})
    monkeypatch.setitem(forms.FORMS, 'other', form)
    code, out, _ = run_command(convert, '--network=toyfaces', '--out=toy.other')
    assert not code
    assert out.splitlines()[1:] == [
        'beside it: toy.other.beside',
        'not in the file: the digits',
        'checked: ema: 8 images of 32x32 differ by 0 at most, by 0 on average; 4 sizes were compared',
    ]


# What other commands make of the files.


@pytest.fixture
def file_of_a_run(tmp_path):
    """A file of networks that have come to 4x4 of 8x8."""
    config = tiny_run.run_config()
    networks = {'ema': tiny.generator(config.generator), 'D': tiny.discriminator(config.discriminator)}
    safetensors_file.write(tmp_path / 'run.safetensors', networks, lod=1.0, nimg=48)
    return networks


def test_commands_draw_at_the_level_of_detail_of_the_file(file_of_a_run, run_command):
    for lod, side in (('', 4), ('--lod=0', 8)):
        code, _, err = run_command(
            generate, '--network=run.safetensors', '--outdir=out', '--seeds=3', *([lod] if lod else [])
        )
        assert not code and not err
        with PIL.Image.open('out/seed0003.png') as picture:
            assert picture.size == (side, side)


def test_evaluate_measures_at_the_level_of_detail_of_the_file(file_of_a_run, run_command, monkeypatch):
    levels = []

    class Recorded(evaluator.Evaluator):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            levels.append(options.get('lod'))

        def check(self, metrics):
            pass

        def measure(self, metrics):
            return []

    monkeypatch.setattr(evaluator, 'Evaluator', Recorded)
    for arguments in ([], ['--lod=0.5']):
        assert not run_command(evaluate, '--network=run.safetensors', '--metrics=fd_toy', *arguments)[0]
    assert levels == [None, 1.0, None, 0.5]  # the first of two looks for what is missing


def test_a_training_starts_from_a_file(file_of_a_run, tmp_path):
    config = tiny_run.run_config()
    G, D, ema, report = transferred(tmp_path / 'run.safetensors', config)
    assert tiny.trees_equal(G, ema) and tiny.trees_equal(ema, file_of_a_run['ema'])
    assert tiny.trees_equal(D, file_of_a_run['D'])
    assert training.create_state(config, generator=G, discriminator=D, ema=ema, lod=1.0).lod == 1
    assert any('arrays taken over' in line for line in report)


def test_a_training_starts_from_a_folder_for_a_hub_and_a_generator_alone(run_command, tmp_path):
    path = tmp_path / 'network.npz'
    tiny.generator(tiny.generator_config(image=ImageConfig(8))).save(path)
    assert not run_command(convert, f'--network={path}', '--out=hub', '--form=hub')[0]
    G, D, ema, _ = transferred(tmp_path / 'hub', tiny_run.run_config())
    assert D is None and tiny.trees_equal(G, ema)
