"""What this package writes is known again, and is not trained on."""

import json
import logging

import numpy as np
import pytest
from source_files import encode, random_pixels, write_folder, write_zip

import tiny
from stylegan_jax.config import Config, DataConfig, ImageConfig, serialization
from stylegan_jax.data.dataset import open_dataset
from stylegan_jax.data.preparing.preparation import Options, prepare
from stylegan_jax.data.sources import open_source, own_files
from stylegan_jax.editing.latent_file import Latents
from stylegan_jax.errors import UserError
from stylegan_jax.figures import catalogue

PNG = encode(random_pixels(0))
PICTURES = {'a.png': PNG, 'b.png': PNG}
RUN = {
    'config.json': serialization.to_json(Config()).encode(),
    'reals.png': PNG,
    'fakes000000.png': PNG,
    'fakes000050.png': PNG,
    'log.jsonl': b'',
    'best/_METADATA': b'',
}
GENERATED = {'seed0000.png': PNG, 'seed12345.png': PNG, 'grid.png': PNG}


def prepared(path):
    write_folder(path / 'pictures', PICTURES)
    source = open_source(path / 'pictures')
    prepare(source, str(path / 'set'), Options(ImageConfig(8)), workers=0, say=lambda line: None, title=None)
    (path / 'set' / 'contact_sheet.png').write_bytes(PNG)
    return path / 'set'


def train_on(path):
    return open_dataset(DataConfig(path=str(path)), ImageConfig(8))


def latents(path):
    path.mkdir(exist_ok=True)
    Latents(np.zeros([1, 4, 8], np.float32), ('a',), (), 0.0).save(path / 'latents.npz')
    return (path / 'latents.npz').read_bytes()


def test_a_prepared_set_is_no_source(tmp_path):
    path = prepared(tmp_path)
    message = (
        rf'^source={path}: this is a data set that prepare_data made; train on it as it is, with data\.path={path}'
    )
    with pytest.raises(UserError, match=message):
        open_source(path)
    assert len(train_on(path)) == 2
    (path / 'prepared.json').unlink()
    (path / '.preparing').mkdir()
    with pytest.raises(UserError, match=message):  # one that was begun
        open_source(path)


def test_parts_of_a_prepared_set_are_no_source(tmp_path):
    path = prepared(tmp_path)
    with pytest.raises(UserError, match=rf'{path} is a prepared data set; train on it as it is'):
        open_source(path / '8x8')
    assert len(open_source(f'tfds:{path}/8x8/1.0.0')) == 2  # by which plain tfds reads it


def test_a_folder_of_prepared_sets_is_no_source(tmp_path):
    path = prepared(tmp_path / 'data')
    for picture in (tmp_path / 'data' / 'pictures').iterdir():
        picture.unlink()
    for call in (open_source, train_on):
        with pytest.raises(UserError, match=rf'{path} is a prepared data set; train on it as it is'):
            call(tmp_path / 'data')


@pytest.mark.parametrize('call', [open_source, train_on])
@pytest.mark.parametrize('make', [write_folder, write_zip])
def test_the_folder_of_a_run_is_no_source(tmp_path, call, make):
    with pytest.raises(UserError, match=r'run\.zip: there are no pictures to train on in it; .*run\.zip is the folder'):
        call(make(tmp_path / 'run.zip', RUN))


def test_a_part_of_a_run_is_named(tmp_path):
    write_folder(tmp_path / 'run', RUN)
    with pytest.raises(
        UserError, match=r'best: there are no pictures to train on in it; .*/run is the folder of a run'
    ):
        open_source(tmp_path / 'run' / 'best')


OWN = {
    'run': (RUN, {'reals.png', 'fakes000000.png', 'fakes000050.png'}, 'the folder of a run'),
    'generated': (GENERATED, {'grid.png'}, 'a folder of generated pictures'),
    'classes': (
        {'seed0000-class0.png': PNG, 'seed0000-class12.png': PNG, 'grid.png': PNG},
        {'grid.png'},
        'a folder of generated pictures',
    ),
    'figures': ({'uncurated.png': PNG, 'style-mixing.png': PNG}, {'uncurated.png', 'style-mixing.png'}, 'figures'),
    'figure': ({'truncation.png': PNG}, {'truncation.png'}, 'a folder of figures'),
}


@pytest.mark.parametrize('kind', OWN)
def test_own_pictures_below_others_are_left_out(tmp_path, caplog, kind):
    files, left_out, what = OWN[kind]
    path = write_folder(tmp_path, PICTURES | {f'out/{name}': content for name, content in files.items()})
    source = open_source(path)
    kept = {f'out/{name}' for name in files if name.endswith('.png')} - {f'out/{name}' for name in left_out}
    assert set(source.names) == {'a.png', 'b.png'} | kept
    (note,) = [note for note in source.notes if 'left out' in note]
    assert note.startswith(f'{path}/out is ') and what in note and min(left_out) in note
    with caplog.at_level(logging.WARNING):
        assert len(train_on(path)) == len(source)
    assert note in caplog.messages


def test_a_run_among_its_own_pictures(tmp_path):
    """Where the folder of a run is that of its pictures, it does not train on its samples once it goes on."""
    path = write_folder(tmp_path, PICTURES | RUN)
    assert open_source(path).names == ('a.png', 'b.png')


def test_projections_and_edits_are_left_out(tmp_path):
    content = latents(tmp_path / 'latents')
    files = {
        'p/projection.png': PNG,
        'p/latents.npz': content,
        'p/optimisation.webp': encode(random_pixels(0), 'webp'),
        'e/smiling.png': PNG,
        'e/smiling.npz': content,
        'c/a.png': PNG,  # features that someone keeps beside pictures are no latents
        'c/a.npz': b'text',
    }
    source = open_source(write_folder(tmp_path / 'set', files))
    assert source.names == ('c/a.png',)
    assert [note.split(' is ')[1].split(';')[0] for note in source.notes[:-1]] == [
        'a folder of edited pictures',
        'the folder of a projection',
    ]


@pytest.mark.parametrize(
    'files',
    [
        {'config.json': b'{"model": "other"}', 'reals.png': PNG},
        {'config.json': b'[' * 100_000, 'fakes000000.png': PNG},
        {'prepared.json': b'{}', 'contact_sheet.png': PNG},
        {'grid.png': PNG},
        {'projection.png': PNG},
        {'truncation.png': PNG, 'a.png': PNG},
        {'seed0000.png': PNG},
    ],
)
def test_names_alone_are_no_reason(tmp_path, files):
    source = open_source(write_zip(tmp_path / 'set.zip', files))
    assert set(source.names) == {name for name in files if name.endswith('.png')}
    assert not [note for note in source.notes if 'left out' in note]


def test_own_arrays_are_named(tmp_path):
    tiny.generator(tiny.generator_config()).save(tmp_path / 'network.npz')
    latents(tmp_path)
    for name, kind in (('network', r'a network \(generator\)'), ('latents', r'latents \(\w+\)')):
        with pytest.raises(UserError, match=rf'{name}\.npz: this is {kind} saved by stylegan_jax, and no pictures'):
            open_source(tmp_path / f'{name}.npz')


def test_names_of_figures_are_those_of_the_catalogue():
    assert set(own_files._OF_FIGURES) == {f'{name}.png' for name in catalogue.FIGURES}


def test_sections_of_the_config_are_those_of_runs():
    assert json.loads(RUN['config.json']).keys() >= own_files._CONFIG
