"""What XLA makes of one D step and G step on an H100, seen without the chip.

How to get the compiler is said in stylegan_jax/benchmarks/h100.py; without it these tests are skipped.
"""

import functools
import pathlib
import re

import jax
import pytest

import h100_script

PRECISION = 'bfloat16'
BATCH = 4
# {version of JAX: {resolution: (kernels, GB moved per image, predicted milliseconds)}}, as step_graph.py gave them on
# 2026-11-28. The milliseconds are those of `kernel_time`, which says more about speed than the other two.
RECORDED = {'0.10.2': {64: (926, 1.378, 5.32), 256: (1291, 3.079, 9.87), 1024: (1739, 9.714, 22.04)}}
FLOAT32_CONVOLUTIONS = 20  # of the generator's layers up to 16x16, see networks/synthesis.py
TOLERANCE = 1.05
# A minute or two of two cores; more where others use them.
pytestmark = [pytest.mark.full, pytest.mark.timeout(3000)]
RESOLUTIONS = [64, 256, pytest.param(1024, marks=pytest.mark.slow)]


@functools.cache
def graph_of(resolution):
    """Compiles once for all tests."""
    return h100_script.run(pathlib.Path(__file__).with_name('step_graph.py'), resolution, BATCH, PRECISION)


@pytest.mark.parametrize('resolution', RESOLUTIONS)
def test_gradients_stay_small_convolutions(resolution):
    """A filter gradient that is not recognised as one becomes a convolution with a window of a whole image."""
    graph = graph_of(resolution)
    # D goes over images 3 times and its gradients follow; G as well: far more calls than layers.
    assert graph['convolutions'] > 50
    assert not graph['oversized_filters']


@pytest.mark.parametrize('resolution', RESOLUTIONS)
def test_no_convolution_runs_over_inserted_zeros(resolution):
    assert not graph_of(resolution)['dilated_pads']


@pytest.mark.parametrize('resolution', RESOLUTIONS)
def test_only_small_convolutions_are_float32(resolution):
    lines = graph_of(resolution)['float32_convolutions']
    assert len(lines) <= FLOAT32_CONVOLUTIONS
    sides = [max(map(int, shape)) for line in lines for shape in re.findall(rf'= \(f32\[{BATCH},(\d+),(\d+),', line)]
    assert sides and max(sides) <= 16


@pytest.mark.parametrize('resolution', RESOLUTIONS)
def test_launches_bytes_and_predicted_time_do_not_grow(resolution):
    if jax.__version__ not in RECORDED:
        pytest.skip(f'no figures are recorded for JAX {jax.__version__}, only for {", ".join(RECORDED)}')
    graph, (kernels, gigabytes, milliseconds) = graph_of(resolution), RECORDED[jax.__version__][resolution]
    assert graph['kernels'] <= kernels * TOLERANCE
    assert graph['bytes_per_image'] <= gigabytes * 1e9 * TOLERANCE
    assert graph['milliseconds'] <= milliseconds * TOLERANCE
