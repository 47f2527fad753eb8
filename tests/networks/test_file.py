"""The project's own network files: exact round trips, and damage."""

import json
import os

import jax
import numpy as np
import pytest

import tiny
from stylegan_jax import ImageConfig, UserError, load
from stylegan_jax.networks import file as network_file

LABELS = ImageConfig(16, base_shape=(3, 4), label_dim=3)
NETWORKS = {
    'F': lambda: tiny.generator(tiny.generator_config()),
    'F with labels': lambda: tiny.generator(tiny.generator_config(image=LABELS, blur_filter=())),
    'B': lambda: tiny.generator(tiny.generator_config('B')),
    'A': lambda: tiny.generator(tiny.generator_config('A')),
    'D of F': lambda: tiny.discriminator(tiny.discriminator_config()),
    'D of F with labels': lambda: tiny.discriminator(tiny.discriminator_config(image=LABELS)),
    'D of A': lambda: tiny.discriminator(tiny.discriminator_config('A')),
}


def which_of(name):
    return 'D' if name.startswith('D') else 'ema'


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / 'network.npz'
    tiny.generator(tiny.generator_config('B', 4)).save(path)
    return path


@pytest.mark.parametrize('name', NETWORKS)
def test_loading_gives_back_what_was_saved(tmp_path, name):
    network, path = NETWORKS[name](), tmp_path / 'network.npz'
    network.save(path)
    again = load(path, which_of(name))
    assert type(again) is type(network) and again.config == network.config
    assert hash(again.config) == hash(network.config)  # static data of compiled functions
    tiny.assert_trees_close(again, network, rtol=0, atol=0)
    assert os.listdir(tmp_path) == ['network.npz']


def test_the_name_is_taken_as_it_is(tmp_path):
    path = tmp_path / 'generator'
    tiny.generator(tiny.generator_config('B', 4)).save(str(path))
    assert load(str(path)).config == tiny.generator_config('B', 4)


def test_saving_replaces_a_file(saved):
    other = tiny.generator(tiny.generator_config('A', 4))
    other.save(saved)
    assert load(saved).config == other.config


def test_a_failed_write_leaves_the_old_file(saved):
    before = saved.read_bytes()

    class Unwritable:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError('lost device')

    with pytest.raises(RuntimeError, match='lost device'):
        network_file.write(saved, kind='generator', config=load(saved).config, arrays={'x': Unwritable()})
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_a_generator_serves_as_either_but_not_as_discriminator(saved, tmp_path):
    assert tiny.trees_equal(load(saved, 'G'), load(saved, 'ema'))
    with pytest.raises(UserError, match="holds a generator, and 'D' was asked for"):
        load(saved, 'D')
    path = tmp_path / 'd.npz'
    tiny.discriminator(tiny.discriminator_config()).save(path)
    with pytest.raises(UserError, match="holds a discriminator, and 'ema' was asked for"):
        load(path)


def assert_refused(path):
    with pytest.raises(UserError) as info:
        load(path)
    assert str(info.value).startswith(f'{path}: ') and '\n' not in str(info.value)


def test_truncated_files_are_refused(saved):
    content = saved.read_bytes()
    for length in np.linspace(0, len(content) - 1, 40, dtype=int):
        saved.write_bytes(content[:length])
        assert_refused(saved)


def test_damage_is_refused_or_harmless(saved):
    """Any byte of the file may flip: either an error in one line, or the same network."""
    content, original = saved.read_bytes(), load(saved)
    random = np.random.default_rng(0)
    for position in [*range(60), *random.integers(0, len(content), 300), *range(-200, 0)]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << random.integers(8)
        saved.write_bytes(damaged)
        try:
            network = load(saved)
        except UserError as error:
            assert str(saved) in str(error) and '\n' not in str(error), position
        else:
            assert network.config == original.config and tiny.trees_equal(network, original), position


def test_other_archives_are_refused(tmp_path):
    path = tmp_path / 'other.npz'
    np.savez(path, x=np.zeros(3))
    assert_refused(path)


@pytest.mark.parametrize(
    'header',
    [
        '[]',
        '{}',
        '{"version": 2, "kind": "generator"}',
        '{"version": 1, "kind": "x"}',
        '{"version": 1, "kind": "generator", "config": {"z_dims": 3}}',
        '{"version": 1, "kind": "generator"}',
        'no json',
    ],
)
def test_other_headers_are_refused(tmp_path, header):
    path = tmp_path / 'other.npz'
    np.savez(path, header=np.array(header), w_avg=np.zeros(3))
    assert_refused(path)


def test_a_file_without_some_of_its_arrays_is_refused(tmp_path):
    path, config = tmp_path / 'network.npz', tiny.generator_config()
    arrays = {'params/mapping/dense0/bias': np.zeros(7)}
    network_file.write(path, kind='generator', config=config, arrays=arrays)
    assert_refused(path)


def test_a_pickle_inside_is_not_opened(tmp_path):
    path = tmp_path / 'other.npz'
    np.savez(path, header=np.array([object()], dtype=object), allow_pickle=True)
    assert_refused(path)


def test_half_the_size_and_three_digits(tmp_path):
    network = tiny.generator(tiny.generator_config())
    sizes = []
    for dtype in (None, 'float16'):
        network.save(tmp_path / 'network', dtype)
        sizes.append((tmp_path / 'network').stat().st_size)
        again = load(tmp_path / 'network')
        assert {leaf.dtype for leaf in jax.tree.leaves(again)} == {np.dtype('float32')}
        tiny.assert_trees_close(again, network, rtol=1e-3 if dtype else 0, atol=1e-6 if dtype else 0)
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize(
    'settings, says',
    [
        ({'mapping_layers': 10**7}, 'mapping_layers=10000000: give 0 to 256'),
        ({'blur_filter': [1] * 10001}, '10001 taps'),
        ({'z_dim': 10**18}, 'its settings mean'),
        ({'z_dim': 1e300}, ''),
        ({'z_dim': [4]}, 'z_dim=[4]: give int'),
        ({'z_dim': 2.5}, 'its settings describe no network'),
        ({'fmap_base': float('inf')}, 'its settings describe no network'),
        ({'truncation_psi': {'1': 2}}, 'give float or NoneType'),
        ({'flip_from': 'x'}, 'give int'),
        ({'image': 3}, 'image=3: give a table of fields'),
        ({'image': {'resolution': 8, 'channels': 10**12}}, ''),
        ({'x' * 1000: 'y' * 1000}, 'unknown field of GeneratorConfig'),
    ],
)
def test_impossible_settings_are_refused_at_once(saved, settings, says):
    with np.load(saved) as file:
        arrays = dict(file)
    header = json.loads(str(arrays.pop('header')))
    header['config'] |= settings
    np.savez(saved, header=np.array(json.dumps(header)), **arrays)
    with pytest.raises(UserError) as info:
        load(saved)
    assert says in str(info.value) and len(str(info.value)) < 500
