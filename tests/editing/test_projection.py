"""Projection: latents of images that a network made are found; what it depends on, and what not."""

import dataclasses

import jax
import numpy as np
import pytest

import tiny
from stylegan_jax.config import ImageConfig
from stylegan_jax.editing import projection
from stylegan_jax.editing.distance import Distance, noise_regularization, normalized_noise
from stylegan_jax.editing.projection import Options
from stylegan_jax.errors import UserError
from stylegan_jax.feature_networks.lpips import LPIPS
from stylegan_jax.feature_networks.vgg import random_arrays
from stylegan_jax.networks.generator import Generator
from stylegan_jax.sampling import grid
from stylegan_jax.sampling.seed_labels import class_labels, labels_in_turn

GENERATOR = tiny.filled(Generator.init(jax.random.key(2), tiny.generator_config(resolution=8)))
DISCRIMINATOR = tiny.discriminator(tiny.discriminator_config(resolution=8))
LARGER = tiny.discriminator(tiny.discriminator_config())
QUICK = Options(noise='const', steps=40, restarts=2, candidates=20)


def own_images(generator, count=2, **given):
    return grid.to_uint8(generator(tiny.normal(count, generator.z_dim, seed=9), psi=1, **given))


def project(generator=GENERATOR, targets=None, options=QUICK, **given):
    targets = own_images(generator) if targets is None else targets
    return projection.project(generator, targets, options=options, **given)


@pytest.fixture(scope='module')
def found():
    return project(discriminator=DISCRIMINATOR)


def test_own_images_are_found(found):
    mean = GENERATOR.truncate(GENERATOR.map(tiny.normal(1000, 6)).mean(axis=0, keepdims=True), 1)
    start = projection.psnr(np.repeat(grid.to_uint8(GENERATOR.synthesize(mean)), 2, axis=0), own_images(GENERATOR))
    assert (found.psnr > start + 6).all(), (found.psnr, start)


def test_images_are_those_of_the_latents(found):
    images = grid.to_uint8(GENERATOR.synthesize(found.ws))
    assert np.abs(images.astype(int) - found.images).max() <= 1
    np.testing.assert_allclose(found.psnr, projection.psnr(found.images, own_images(GENERATOR)))
    assert found.noise == () and found.ws.shape == (2, 4, 5)


def test_it_is_reproducible_and_seeds_differ(found):
    again = project(discriminator=DISCRIMINATOR)
    assert tiny.trees_equal(found, again)
    other = project(discriminator=DISCRIMINATOR, options=dataclasses.replace(QUICK, seed=1))
    assert np.abs(found.ws - other.ws).max() > 1e-3


def test_an_image_does_not_depend_on_the_others(found):
    alone = project(targets=own_images(GENERATOR)[1:], discriminator=DISCRIMINATOR)
    np.testing.assert_allclose(alone.distance, found.distance[1:], rtol=0.2)
    assert alone.start == found.start[1]


@pytest.mark.full
def test_more_starts_never_are_worse_at_the_first_choice():
    def distance(restarts):
        seen = []
        project(
            options=dataclasses.replace(QUICK, restarts=restarts, steps=10),
            every=1,
            report=lambda step, found: seen.append(found.distance),
        )
        return seen[0]

    assert (distance(4) <= distance(1) * (1 + 1e-4)).all() and (distance(4) < distance(1)).any()


def test_reports_come_in_time_and_end_with_the_result(found):
    seen = []
    last = project(discriminator=DISCRIMINATOR, every=15, report=lambda step, found: seen.append((step, found)))
    assert [step for step, _ in seen] == [4, 19, 34, 40]
    assert tiny.trees_equal(last, seen[-1][1])
    np.testing.assert_allclose(last.ws, found.ws, atol=1e-4)  # how often it is looked at changes nothing


def test_space_w_has_one_w_for_all_layers(found):
    one = project(options=dataclasses.replace(QUICK, space='w'))
    assert np.ptp(one.ws, axis=1).max() == 0 and np.ptp(found.ws, axis=1).max() > 1e-3


def test_noise_is_optimised_stays_normal_and_helps(found):
    targets = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    still = project(targets=targets)
    moved = project(targets=targets, options=dataclasses.replace(QUICK, noise='optimize'))
    assert [x.shape for x in moved.noise] == [(1, 4 * 2**s, 4 * 2**s, 1) for s in (0, 0, 1, 1)]
    for x in moved.noise:
        assert abs(x.mean()) < 1e-5 and abs(x.std() - 1) < 1e-3
    assert moved.psnr > still.psnr + 0.5
    images = grid.to_uint8(GENERATOR.synthesize(moved.ws, noise=list(moved.noise)))
    assert np.abs(images.astype(int) - moved.images).max() <= 1


@pytest.mark.parametrize('letter', ['B', *(pytest.param(letter, marks=pytest.mark.full) for letter in 'CD')])
def test_networks_without_noise_or_styles(letter):
    generator = tiny.generator(tiny.generator_config(letter, resolution=8))
    seen = []
    project(generator, report=lambda step, found: seen.append(found.distance), every=5)
    assert (seen[-1] < seen[0]).all()
    with pytest.raises(UserError, match="noise='optimize': this network has no noise inputs"):
        project(generator, options=Options())


def test_progressive_gan_has_no_latents_to_find():
    with pytest.raises(UserError, match='no intermediate latents'):
        project(tiny.generator(tiny.generator_config('A', resolution=8)), np.zeros((1, 8, 8, 3), np.uint8))


def test_other_shapes_and_lods():
    generator = tiny.generator(tiny.generator_config(image=ImageConfig(8, base_shape=(2, 4), channels=1)))
    for lod, shape in ((0.5, (2, 4, 8, 1)), (1.0, (2, 2, 4, 1))):
        result = project(generator, own_images(generator, lod=lod), lod=lod)
        assert result.images.shape == shape and (result.psnr > 10).all()


def test_what_does_not_fit_is_said():
    with pytest.raises(UserError, match=r'targets are uint8 \[1, 4, 4, 3\]; give uint8 \[N, 8, 8, 3\]'):
        project(targets=np.zeros((1, 4, 4, 3), np.uint8))
    with pytest.raises(UserError, match='targets are float'):
        project(targets=np.zeros((1, 8, 8, 3)))
    with pytest.raises(UserError, match='discriminator is for other images'):
        project(discriminator=LARGER)
    with pytest.raises(UserError, match='finite numbers after'):
        project(options=dataclasses.replace(QUICK, rate=1e38))


@pytest.mark.parametrize(
    'given',
    [
        {'space': 'z'},
        {'noise': 'loud'},
        {'steps': 0},
        {'restarts': 0},
        {'rate': -1.0},
        {'jitter': float('nan')},
        {'restarts': 5, 'candidates': 3},
    ],
    ids=str,
)
def test_options_are_checked(given):
    with pytest.raises(UserError, match=f'{next(iter(given))}='):
        Options(**given)


# What is compared.


def test_distance_is_nothing_for_the_same_images_and_grows():
    images = tiny.normal(2, 16, 16, 3)
    distance = Distance(LARGER, None, 1.0, 2)
    seen = distance.seen(images)
    assert [x.shape for x in seen['features']] == [(2, 8, 8, 8), (2, 4, 4, 8)]
    assert [x.shape[1] for x in seen['pixels']] == [16, 8, 4]
    np.testing.assert_array_equal(distance(images, seen)[0], 0)
    near, far = (distance(images + step * tiny.normal(2, 16, 16, 3, seed=1), seen)[0] for step in (0.1, 0.5))
    assert (0 < near).all() and (near < far).all()
    pixels = Distance(None, None, 1.0, 2)
    assert (pixels(images + 0.1, pixels.seen(images))[0] < distance(images + 0.1, seen)[0]).all()


@pytest.mark.full
def test_lpips_takes_the_place_of_the_discriminator_and_has_gradients():
    lpips = LPIPS.from_arrays(random_arrays(0, trunk_only=True), where='random', name='vgg16-random')
    distance = Distance(LARGER, lpips, 1.0, 2)
    target = np.zeros((1, 16, 16, 3), np.float32)  # one colour: where lengths of features are 0
    seen = distance.seen(target)
    assert not seen['features']
    found, gradient = jax.value_and_grad(lambda images: distance(images, seen)[0].sum())(tiny.normal(1, 16, 16, 3))
    assert found > Distance(None, None, 1.0, 2)(tiny.normal(1, 16, 16, 3), seen)[0].sum()
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    assert np.isfinite(jax.grad(lambda images: distance(images, seen)[0].sum())(target)).all()


def test_regularisation_knows_white_noise():
    white = np.random.default_rng(0).standard_normal((50, 32, 32, 1)).astype(np.float32)
    smooth = white + np.roll(white, 1, axis=2) + np.roll(white, 1, axis=1)
    coarse = np.repeat(np.repeat(white[:, ::2, ::2], 2, axis=1), 2, axis=2)
    of_white, of_smooth, of_coarse = (
        np.asarray(noise_regularization(normalized_noise([x]))).mean() for x in (white, smooth, coarse)
    )
    assert 3 < of_white < 9  # 1 for each of 2 directions and 3 sizes
    assert of_smooth > 20 * of_white and of_coarse > 20 * of_white


def test_noise_becomes_normal():
    (x,) = normalized_noise([5 + 3 * tiny.normal(2, 8, 8, 1)])
    np.testing.assert_allclose(np.mean(x, axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(x, axis=(1, 2, 3)), 1, rtol=1e-4)


def test_the_rate_ramps_as_in_the_reference():
    """Up linearly over 5 %, down by a cosine over the last quarter (Karras et al. 2020, Appendix D)."""
    options = projection.Options(steps=1000, rate=0.1)
    rate = [float(projection._rate(options, step)) for step in (0, 24, 49, 500, 749, 875, 999)]
    expected = [
        0.1 * 0.02,
        0.1 * 0.5,
        0.1,
        0.1,
        0.1,
        0.1 * (0.5 - 0.5 * np.cos(np.pi * 0.5)),
        0.1 * (0.5 - 0.5 * np.cos(np.pi * 0.004)),
    ]
    np.testing.assert_allclose(rate, expected, rtol=1e-3)


def test_latents_are_searched_near_those_of_the_class():
    """The first start, which all steps of size 0 leave where it is, is the mean w of the samples of the label."""
    generator = tiny.generator(tiny.generator_config(image=ImageConfig(8, label_dim=3)))
    options = dataclasses.replace(QUICK, restarts=1, rate=0.0, steps=1)
    targets = own_images(generator, 1, label=[2])
    means = {}
    for name, label in {'class': 2, 'turn': class_labels(generator, [2]), 'all': labels_in_turn(generator)}.items():
        means[name] = project(generator, targets, options, label=label).ws[0, 0]
    expected = np.asarray(generator.map(tiny.normal(20_000, 6), np.full(20_000, 2)))
    near = 6 * expected.std(axis=0) / np.sqrt(10_000)
    assert (np.abs(means['class'] - expected.mean(axis=0)) < near).all()
    np.testing.assert_allclose(means['turn'], means['class'], rtol=1e-5, atol=1e-6)
    assert np.abs(means['all'] - means['class']).max() > 0.05
