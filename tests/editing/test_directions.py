"""Directions of W: found where they were put, and moving along them does what it says."""

import jax
import numpy as np
import pytest

import tiny
from stylegan_jax.editing import directions as latent_space
from stylegan_jax.editing.directions import Directions
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.moments import Moments
from stylegan_jax.sampling.latents import draw_latents

RANDOM = np.random.default_rng(3)
SPREAD = np.array([4.0, 2.0, 1.0, 0.1])
ROTATION = np.linalg.qr(RANDOM.standard_normal((4, 4)))[0]
SAMPLES = RANDOM.standard_normal((20_000, 4)) * SPREAD @ ROTATION + 5


def along(vector, other):
    return vector @ other / np.linalg.norm(vector) / np.linalg.norm(other)


def test_statistics_are_those_of_mapped_latents():
    generator = tiny.generator(tiny.generator_config())
    moments = latent_space.statistics(generator, 5000, seed=4)  # more than a piece
    z = draw_latents(4, 0, 5000, generator.z_dim)
    w = np.asarray(generator.map(z), np.float64)
    np.testing.assert_allclose(moments.mean, w.mean(0), rtol=1e-6)
    np.testing.assert_allclose(moments.covariance(), np.cov(w.T), rtol=1e-5, atol=1e-8)
    assert moments.count == 5000


def test_samples_are_pieces_of_one_row_and_differ_between_seeds():
    whole = draw_latents(4, 0, 10, 6)
    np.testing.assert_array_equal(draw_latents(4, 7, 3, 6), whole[7:])
    assert not np.any(np.asarray(draw_latents(5, 0, 10, 6)) == whole)
    assert abs(np.asarray(draw_latents(4, 0, 4000, 6)).std() - 1) < 0.02


def test_label_decides_where_samples_lie():
    config = tiny.generator_config(image=tiny.ImageConfig(8, label_dim=3))
    first, second = (latent_space.statistics(tiny.generator(config), 50, label=label).mean for label in (0, 1))
    assert np.abs(first - second).max() > 1e-3


def test_principal_directions_are_the_widest_first():
    directions = latent_space.principal_directions(Moments.of(SAMPLES), 3)
    assert directions.names == ('pc0', 'pc1', 'pc2')
    for place in range(3):
        step = directions.step(f'pc{place}')
        assert abs(abs(along(step, ROTATION[place])) - 1) < 1e-3
        assert abs(np.linalg.norm(step) / SPREAD[place] - 1) < 0.03
        assert step[np.argmax(np.abs(step))] > 0


@pytest.mark.parametrize('count', [0, 5])
def test_there_are_as_many_principal_directions_as_dimensions(count):
    with pytest.raises(UserError, match='4 dimensions; give from 1 to 4'):
        latent_space.principal_directions(Moments.of(SAMPLES), count)


@pytest.fixture(scope='module')
def attributes():
    """Two planes that are not orthogonal, and one that nothing is beyond; the logits follow them without error."""
    planes = np.array([[1.0, 0.5, 0, 0], [0.2, -1, 1, 0]])
    logits = np.concatenate([(SAMPLES - 5) @ planes.T, np.full((len(SAMPLES), 1), -9.0)], axis=1)
    return planes, logits, latent_space.attribute_directions(SAMPLES, logits, ['a', 'b', 'never'])


def test_planes_of_attributes_are_found_and_point_to_where_they_are(attributes):
    planes, _, directions = attributes
    assert directions.names == ('a', 'b')  # 'never' has no plane
    np.testing.assert_allclose(np.linalg.norm(directions.normals, axis=1), 1)
    for name, plane in zip('ab', planes):
        assert along(directions.step(name), directions.moments.covariance() @ plane) > 0.98


def test_a_strength_is_a_standard_deviation_of_the_attribute(attributes):
    planes, logits, directions = attributes
    changed = directions.step('a') @ planes[0]
    assert abs(changed / logits[:, 0].std() - 1) < 0.01


def test_steps_are_the_shortest_in_standard_deviations(attributes):
    _, _, directions = attributes

    def length(step):
        return np.sqrt(step @ np.linalg.solve(directions.moments.covariance(), step))

    step, normal = directions.step('a'), directions.normal('a')
    other = normal * (normal @ step)  # as far across the plane, along the normal
    assert abs(length(step) - 1) < 1e-6 and length(other) > 1.2


def test_conditioned_step_leaves_the_other_attribute(attributes):
    planes, _, directions = attributes
    plain, conditioned = directions.step('a'), directions.step('a', without=['b', 'a'])
    assert abs(plain @ directions.normal('b')) > 0.1
    assert abs(conditioned @ directions.normal('b')) < 1e-9 and conditioned @ planes[0] > 0.5


def test_nothing_is_left_of_a_direction_without_itself():
    normals = np.array([[1.0, 0, 0, 0], [1.0, 0, 0, 0]])
    directions = Directions(('a', 'same'), normals, Moments.of(SAMPLES))
    with pytest.raises(UserError, match="direction 'a': nothing of it is left without same"):
        directions.step('a', without=['same'])


def test_unknown_direction_is_said_with_those_that_exist(attributes):
    with pytest.raises(UserError, match="direction 'nose' does not exist; there are a, b"):
        attributes[2].step('nose')


def test_attributes_that_all_samples_have_give_no_direction():
    with pytest.raises(UserError, match='all samples have each, or none has'):
        latent_space.attribute_directions(SAMPLES[:50], np.ones((50, 1)), ['always'])


@pytest.mark.parametrize(
    'names, normals', [(('a', 'a'), np.eye(4)[:2]), (('a',), np.eye(4)[:2]), (('a',), np.ones((1, 3)))]
)
def test_directions_that_do_not_fit_together(names, normals):
    with pytest.raises(UserError):
        Directions(names, normals, Moments.of(SAMPLES))


def test_chosen_layers_move_by_the_strength():
    ws, step = RANDOM.standard_normal((2, 3, 4)), np.array([1.0, 2, 3, 4])
    moved = np.asarray(latent_space.move(ws, step, [0.5, -2], layers=[0, 2]))
    np.testing.assert_array_equal(moved[:, 1], ws[:, 1].astype(np.float32))
    for layer in (0, 2):
        np.testing.assert_allclose(moved[:, layer], ws[:, layer] + np.outer([0.5, -2], step), atol=1e-5)
    np.testing.assert_allclose(latent_space.move(ws, step, 1), ws + step, atol=1e-5)


def test_layers_and_sizes_that_do_not_exist():
    with pytest.raises(UserError, match='layer 3 does not exist; these ws have layers 0 to 2'):
        latent_space.move(np.zeros((1, 3, 4)), np.zeros(4), 1, layers=[3])
    with pytest.raises(UserError, match='direction of 5 values'):
        latent_space.move(np.zeros((1, 3, 4)), np.zeros(5), 1)


@pytest.mark.parametrize('letter', 'BCDE')
def test_every_network_with_a_w_has_statistics(letter):
    generator = tiny.generator(tiny.generator_config(letter))
    assert latent_space.statistics(generator, 20).mean.shape == (generator.w_dim,)


def test_progressive_gan_has_none():
    with pytest.raises(UserError, match='no intermediate latents'):
        latent_space.statistics(tiny.generator(tiny.generator_config('A')), 20)


def test_moving_takes_gradients():
    gradient = jax.grad(lambda strength: latent_space.move(np.ones((1, 2, 4)), np.arange(4.0), strength).sum())(1.0)
    assert gradient == 12
