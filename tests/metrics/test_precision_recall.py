"""Precision and recall, against other implementations and the definition written out."""

import jax
import numpy as np
import pytest

import metric_reference
from stylegan_jax.errors import UserError
from stylegan_jax.metrics.precision_recall import inside, precision_recall, squared_radii


def written_out(reals, fakes, k):
    def distances(a, b):
        return np.linalg.norm(a[:, None].astype(np.float64) - b[None], axis=-1)

    def share(points, centres):
        radii = np.sort(distances(centres, centres), axis=1)[:, k]  # the sample itself is at place 0
        return (distances(points, centres) <= radii).any(axis=1).mean()

    return share(fakes, reals), share(reals, fakes)


@pytest.mark.parametrize('k', [1, 3, 5])
def test_reference(reals, fakes, k):
    expected = metric_reference.numbers('statistics')['precision_recall'][f'k{k}']
    result = precision_recall(reals, fakes, k=k)
    for name in 'torch_fidelity_float32', 'torch_fidelity_float64', 'stylegan2_ada_pytorch_float32_cpu':
        assert result == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize('name', ['real', 'fake'])
def test_reference_radii(name):
    stored = metric_reference.arrays('statistics')
    radii = np.sqrt(squared_radii(stored[name]))
    np.testing.assert_allclose(radii, stored[f'pr_kth_distance_{name}_k3'], rtol=1e-5)


@pytest.mark.parametrize('devices, block', [(1, 4096), (1, 64), (8, 7), (3, 100), (8, 1)])
def test_blocks_and_devices_do_not_matter(reals, fakes, devices, block):
    reals, fakes = reals[:90], fakes[:61]
    result = precision_recall(reals, fakes, devices=jax.devices()[:devices], block=block)
    assert result == pytest.approx(written_out(reals, fakes, 3), rel=1e-12)
    assert 0 < result.recall != result.precision > 0


def test_exchanging_the_sets_exchanges_the_two(reals, fakes):
    assert precision_recall(fakes, reals) == precision_recall(reals, fakes)[::-1]


def test_a_large_mean_does_not_matter(reals, fakes):
    """In float32, squares of 1000 leave little of distances of 10; the features themselves lose 3e-5 here."""
    assert precision_recall(reals + 1000, fakes + 1000) == precision_recall(reals, fakes)


def test_the_same_set_is_covered_and_a_far_one_is_not(reals):
    assert precision_recall(reals, reals) == (1, 1)
    assert precision_recall(reals, reals + 1000) == (0, 0)


def test_copies_are_at_zero():
    """Radii are 0 where a sample has k copies: of a collapsed generator what is the same counts, and nothing else."""
    sample, other = np.random.default_rng(0).standard_normal((2, 4096)).astype(np.float32)
    collapsed, near = np.tile(sample, (9, 1)), np.tile(sample + 0.01 * other, (9, 1))
    assert (squared_radii(collapsed) == 0).all()
    assert precision_recall(collapsed, collapsed[:5]) == (1, 1)
    assert precision_recall(collapsed, near) == (0, 0)


def test_samples_that_fill_up_a_block_are_no_neighbours():
    """The origin, where they would be, is nearer to these than they are to one another."""
    np.testing.assert_array_equal(squared_radii(10 * np.eye(5), block=4), np.full(5, 200))


def test_balls_that_fill_up_a_block_hold_nothing():
    """A point at the origin, where they would be."""
    points, centres = np.zeros((1, 2)), np.full((5, 2), 10.0)
    assert not inside(points, centres, np.full(5, 199), block=4).any()
    assert inside(points, centres, np.full(5, 201), block=4).all()


def test_what_cannot_be_used_is_refused(reals, fakes):
    with pytest.raises(UserError, match='generated features: 3 samples, and at least 4 are needed'):
        precision_recall(reals, fakes[:3])
    with pytest.raises(UserError, match='64 and 32 values a sample'):
        precision_recall(reals, fakes[:, :32])
    with pytest.raises(UserError, match='k=0'):
        precision_recall(reals, fakes, k=0)
    with pytest.raises(UserError, match='float32 does not hold'):
        precision_recall(reals * 1e20, fakes)
    with pytest.raises(UserError, match='real features: 64 of 32000 numbers are not finite'):
        precision_recall(np.where(np.arange(500)[:, None] == 3, np.inf, reals), fakes)
