"""What a run takes over from the weights of another network, and what stays as in a fresh run."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reference_case
import tiny
from stylegan_jax import training
from stylegan_jax.config import ImageConfig
from stylegan_jax.errors import UserError
from stylegan_jax.storage import official
from stylegan_jax.storage.checkpoint import Checkpoints
from stylegan_jax.storage.transfer import described_transfer, transferred


def run_config(resolution=4, label_dim=0, *, base_shape=(4, 4), generator=None, discriminator=None):
    """A run with small networks; as z is not normalised, a label can be without any effect."""
    return tiny.run_config(
        image=ImageConfig(resolution, base_shape=base_shape, label_dim=label_dim),
        seed=5,
        generator={'normalize_latents': False} | (generator or {}),
        discriminator=discriminator,
    )


SMALL, LARGE = run_config(4), run_config(8)


def networks_of(config):
    """G, D and ema with no two arrays alike."""
    G, D = tiny.generator(config.generator), tiny.discriminator(config.discriminator)
    return {'G': G, 'D': D, 'ema': tiny.filled(G, seed=2)}


def fresh(config, which):
    return training.network(config, training.create_state(config), which)


def arrays_of(network):
    leaves = jax.tree_util.tree_leaves_with_path(network)
    return {jax.tree_util.keystr(path, simple=True, separator='/').removeprefix('params/'): x for path, x in leaves}


@pytest.fixture
def take_over(tmp_path):
    """Returns a function that saves a network of a run and gives what another run makes of it, and the report."""

    def move(which, old, new):
        networks_of(old)[which].save(tmp_path / 'network.npz')
        *networks, report = transferred(tmp_path / 'network.npz', new)
        assert described_transfer(tmp_path / 'network.npz', new) == report
        return dict(zip(('G', 'D', 'ema'), networks)) | {'report': report}

    return move


def assert_origins(network, source, fresh_network, *, is_taken):
    """Every array is the one of `source` if `is_taken(name)`, else the fresh one; to the bit."""
    source, expected = arrays_of(source), arrays_of(fresh_network)
    moved = arrays_of(network)
    assert moved.keys() == expected.keys()
    for name, array in moved.items():
        np.testing.assert_array_equal(array, (source if is_taken(name) else expected)[name], err_msg=name)


# The same networks.


def test_a_saved_generator_serves_as_both(take_over):
    done = take_over('G', LARGE, LARGE)
    for which in ('G', 'ema'):
        assert done[which].config == LARGE.generator and tiny.trees_equal(done[which], networks_of(LARGE)['G'])
    assert done['D'] is None
    assert done['report'] == ['G and ema: all 33 arrays taken over', 'D: not in the file, fresh']


def test_a_saved_discriminator_comes_alone(take_over):
    done = take_over('D', LARGE, LARGE)
    assert done['D'].config == LARGE.discriminator and tiny.trees_equal(done['D'], networks_of(LARGE)['D'])
    assert done['G'] is done['ema'] is None
    assert done['report'] == ['G and ema: not in the file, fresh', 'D: all 14 arrays taken over']


@pytest.fixture
def run_directory(tmp_path):
    G, D, ema = networks_of(SMALL).values()
    # The stored noise inputs are one set for both generators.
    ema = dataclasses.replace(ema, noise=G.noise)
    state = training.create_state(SMALL, generator=G, discriminator=D, ema=ema)
    checkpoints = Checkpoints(tmp_path / 'run', keep=1)
    checkpoints.save(0, state, SMALL, {'tick': 0, 'tick_nimg': 0, 'seconds': 0.0})
    checkpoints.wait()
    checkpoints.close()
    return tmp_path / 'run', (G, D, ema)


def test_a_run_directory_gives_all_three(run_directory):
    path, expected = run_directory
    *networks, report = transferred(path, SMALL)
    assert all(map(tiny.trees_equal, networks, expected))
    assert not tiny.trees_equal(networks[0], networks[2])
    assert report == ['G and ema: all 19 arrays taken over', 'D: all 8 arrays taken over']


def test_an_official_pickle_gives_all_three():
    path = reference_case.pickle_path('c32')
    expected = [official.load(path, which) for which in ('G', 'D', 'ema')]
    config = dataclasses.replace(
        SMALL, image=expected[0].config.image, generator=expected[0].config, discriminator=expected[1].config
    )
    *networks, report = transferred(path, config)
    assert [network.config for network in networks] == [network.config for network in expected]
    assert all(map(tiny.trees_equal, networks, expected)) and not tiny.trees_equal(networks[0], networks[2])
    assert len(report) == 2 and all('taken over' in line and ' all ' in line for line in report)


# Another size.


def test_larger_images_get_fresh_stages(take_over):
    done = take_over('G', SMALL, LARGE)
    for which in ('G', 'ema'):
        assert_origins(
            done[which],
            networks_of(SMALL)['G'],
            fresh(LARGE, which),
            is_taken=lambda name: '8x8' not in name and name not in ('noise/2', 'noise/3'),
        )
    assert done['report'][:4] == [
        'G and ema: 19 of 33 arrays taken over',
        'G and ema: fresh, not in the file: synthesis/8x8 (12 arrays: conv0_up, conv1, to_rgb)',
        'G and ema: fresh, not in the file: noise (2 arrays: 2, 3)',
        "G and ema: settings that differ from the file's: resolution 4 -> 8",
    ]
    done |= {'D': take_over('D', SMALL, LARGE)['D']}
    assert_origins(done['D'], networks_of(SMALL)['D'], fresh(LARGE, 'D'), is_taken=lambda name: '8x8' not in name)
    state = training.create_state(LARGE, generator=done['G'], discriminator=done['D'], ema=done['ema'])
    assert tiny.trees_equal(training.network(LARGE, state, 'ema'), done['ema'])


def test_what_is_fresh_follows_the_seed(take_over):
    other = dataclasses.replace(LARGE, seed=6)
    for which in ('G', 'D'):
        one, two = (arrays_of(take_over(which, SMALL, config)[which]) for config in (LARGE, other))
        differing = {name for name in one if not np.array_equal(one[name], two[name])}
        assert differing and all('8x8' in name or name in ('noise/2', 'noise/3') for name in differing)


@pytest.mark.parametrize(
    'which, unused',
    [
        (
            'G',
            [
                'G and ema: in the file, not used: synthesis/8x8 (12 arrays: conv0_up, conv1, to_rgb)',
                'G and ema: in the file, not used: noise (2 arrays: 2, 3)',
            ],
        ),
        ('D', ['D: in the file, not used: 8x8 (6 arrays: conv0, conv1_down, from_rgb)']),
    ],
)
def test_smaller_images_leave_stages_unused(take_over, which, unused):
    done = take_over(which, LARGE, SMALL)
    assert_origins(done[which], networks_of(LARGE)[which], fresh(SMALL, which), is_taken=lambda name: True)
    assert [line for line in done['report'] if 'not used' in line] == unused


@pytest.mark.parametrize('which', ['G', 'D'])
def test_images_that_are_not_square(take_over, which):
    small, large = (run_config(size, base_shape=(3, 4)) for size in (4, 8))
    done = take_over(which, small, large)
    assert_origins(
        done[which],
        networks_of(small)[which],
        fresh(large, which),
        is_taken=lambda name: '6x8' not in name and name not in ('noise/2', 'noise/3'),
    )


def test_a_base_of_another_shape_leaves_the_mapping(take_over):
    config = run_config(base_shape=(3, 4))
    done = take_over('G', SMALL, config)
    assert_origins(
        done['G'],
        networks_of(SMALL)['G'],
        fresh(config, 'G'),
        is_taken=lambda name: name.startswith(('mapping', 'w_avg')),
    )


# Another number of labels.

LABELS_3, LABELS_5 = run_config(label_dim=3), run_config(label_dim=5)
FIRST_WEIGHT = 'mapping/dense0/weight'


def images_of(G, label=None):
    return G(tiny.normal(3, G.z_dim), label, psi=1)


@pytest.mark.parametrize('label', [None, 0, 2])
def test_labels_are_added_without_effect(take_over, label):
    label = None if label is None else np.full(3, label)
    done = take_over('G', SMALL, LABELS_3)
    for which in ('G', 'ema'):
        np.testing.assert_allclose(
            images_of(done[which], label), images_of(networks_of(SMALL)['G']), rtol=1e-4, atol=1e-5
        )
    assert f'G and ema: adapted to the labels: {FIRST_WEIGHT} (6, 7) -> (12, 7)' in done['report']
    assert 'G and ema: fresh, not in the file: mapping/label_weight' in done['report']


def test_only_the_first_weight_is_adapted(take_over):
    for old, new in ((SMALL, LABELS_3), (LABELS_3, SMALL)):
        moved = arrays_of(take_over('G', old, new)['G'])
        source, expected = arrays_of(networks_of(old)['G']), arrays_of(fresh(new, 'G'))
        for name in expected.keys() - {FIRST_WEIGHT}:
            np.testing.assert_array_equal(moved[name], source.get(name, expected[name]), err_msg=name)
        assert not np.isin(moved[FIRST_WEIGHT], expected[FIRST_WEIGHT]).any()


def test_normalised_latents_keep_their_scale_beside_a_label_of_their_length(take_over):
    old, new = (run_config(label_dim=count, generator={'normalize_latents': True}) for count in (0, 2))
    G = take_over('G', old, new)['G']
    z = tiny.normal(3, G.z_dim)
    z = z / jnp.sqrt(jnp.mean(z**2, axis=1, keepdims=True))
    mapping = G.params['mapping'] | {'label_weight': jnp.ones((2, 6))}
    G = dataclasses.replace(G, params=G.params | {'mapping': mapping})
    np.testing.assert_allclose(G.map(z, np.array([0, 1, 1])), networks_of(old)['G'].map(z), rtol=1e-4, atol=1e-5)


def test_labels_are_left_out(take_over):
    done = take_over('G', LABELS_3, SMALL)
    np.testing.assert_allclose(
        images_of(done['G']), images_of(networks_of(LABELS_3)['G'], label=None), rtol=1e-4, atol=1e-5
    )
    assert f'G and ema: adapted to the labels: {FIRST_WEIGHT} (12, 7) -> (6, 7)' in done['report']
    assert 'G and ema: in the file, not used: mapping/label_weight' in done['report']


def test_other_classes_get_a_fresh_embedding(take_over):
    done = take_over('G', LABELS_3, LABELS_5)
    assert_origins(
        done['G'],
        networks_of(LABELS_3)['G'],
        fresh(LABELS_5, 'G'),
        is_taken=lambda name: name != 'mapping/label_weight',
    )
    assert 'G and ema: fresh, of another shape in the file: mapping/label_weight (3, 6) -> (5, 6)' in done['report']


@pytest.mark.parametrize('old, new', [(SMALL, LABELS_3), (LABELS_3, SMALL), (LABELS_3, LABELS_5)])
def test_every_class_is_judged_as_the_mean_of_those_before(take_over, old, new):
    done = take_over('D', old, new)
    images = tiny.normal(4, 4, 4, 3)

    def logits_by_class(D):
        return [D(images, np.full(4, k) if D.label_dim else None) for k in range(max(D.label_dim, 1))]

    before = np.mean(logits_by_class(networks_of(old)['D']), axis=0)
    for logits in logits_by_class(done['D']):
        np.testing.assert_allclose(logits, before, rtol=1e-4, atol=1e-5)
    assert_origins(done['D'], networks_of(old)['D'], done['D'], is_taken=lambda name: 'dense1' not in name)
    counts = [max(config.image.label_dim, 1) for config in (old, new)]
    assert (
        'D: adapted to the labels: 4x4/dense1/bias ({},) -> ({},), 4x4/dense1/weight (8, {}) -> (8, {})'.format(
            *counts, *counts
        )
    ) in done['report']


# What does not fit.


@pytest.mark.parametrize(
    'fields, line',
    [
        ({'z_dim': 12}, 'mapping/dense0/weight (6, 7) -> (12, 7)'),
        ({'w_dim': 4}, 'mapping/dense1/bias (5,) -> (4,), mapping/dense1/weight (7, 5) -> (7, 4)'),
        (
            {'mapping_fmaps': 9},
            'mapping/dense0/bias (7,) -> (9,), mapping/dense0/weight (6, 7) -> (12, 9), '
            'mapping/dense1/weight (7, 5) -> (9, 5)',
        ),
    ],
)
def test_other_widths_are_fresh(take_over, fields, line):
    """Labels, too, would change the first weight's rows; here z or the columns change."""
    new = run_config(label_dim=2 if 'mapping_fmaps' in fields else 0, generator=fields | {'nonlinearity': 'relu'})
    done = take_over('G', SMALL, new)
    source, expected = arrays_of(networks_of(SMALL)['G']), fresh(new, 'G')
    fitting = {name for name, x in arrays_of(expected).items() if name in source and x.shape == source[name].shape}
    assert_origins(done['G'], networks_of(SMALL)['G'], expected, is_taken=fitting.__contains__)
    assert f'G and ema: fresh, of another shape in the file: {line}' in done['report']
    assert done['report'][-2].endswith(", nonlinearity 'lrelu' -> 'relu'")


def test_long_lists_are_shortened(take_over):
    done = take_over('G', SMALL, run_config(generator={'fmap_max': 4}))
    assert (
        'G and ema: fresh, of another shape in the file: synthesis/4x4 (11 arrays: const, conv, to_rgb; '
        'first synthesis/4x4/const/bias (8,) -> (4,))'
    ) in done['report']


def assert_refused(path, config, *, says):
    with pytest.raises(UserError) as info:
        transferred(path, config)
    message = str(info.value)
    assert message.startswith(f'{path}: ') and '\n' not in message and says in message


@pytest.mark.parametrize('which', ['G', 'D'])
@pytest.mark.parametrize('theirs, ours', [('A', 'F'), ('F', 'A')])
def test_another_architecture_is_refused(tmp_path, which, theirs, ours):
    names = {'A': "'progan'", 'F': "'stylegan'"}
    old, new = (tiny.run_config(letter, 4) for letter in (theirs, ours))
    networks_of(old)[which].save(tmp_path / 'network.npz')
    assert_refused(
        tmp_path / 'network.npz',
        new,
        says=f"of its {which} is {names[theirs]}, and this run's is {names[ours]}; start from another",
    )


def test_a_network_of_which_no_weight_fits_is_refused(tmp_path):
    """Biases of colours would fit."""
    networks_of(SMALL)['D'].save(tmp_path / 'network.npz')
    assert_refused(
        tmp_path / 'network.npz',
        run_config(discriminator={'fmap_max': 7}),
        says='none of its weights fits the networks of this run (settings that differ',
    )


def test_a_missing_file_is_refused(tmp_path):
    assert_refused(tmp_path / 'missing.npz', SMALL, says='No such file')
