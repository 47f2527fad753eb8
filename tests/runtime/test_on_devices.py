"""Functions of a network and a batch over several devices: results, what is compiled, and when."""

import concurrent.futures
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stylegan_jax.runtime.by_platform import by_platform
from stylegan_jax.runtime.on_devices import OnDevices, Program

DEVICES = tuple(jax.devices())
NETWORK = {'weight': np.float32([[1, 2], [3, 4], [5, 6]])}
BATCH = np.arange(24, dtype=np.float32).reshape(8, 3)


def product(network, batch):
    return {'product': batch @ network['weight']}


@pytest.fixture
def traces():
    """(function that notes the shape of every trace, the shapes)."""
    shapes = []

    def function(network, batch):
        shapes.append(batch.shape)
        return product(network, batch)

    return function, shapes


@pytest.mark.parametrize('count', [1, 2, 8])
def test_devices_compute_their_parts(count):
    program = Program(product, DEVICES[:count], 'float32')
    result = program(program.place(NETWORK), BATCH)['product']
    np.testing.assert_array_equal(result, BATCH @ NETWORK['weight'])
    assert [shard.data.shape for shard in result.addressable_shards] == [(8 // count, 2)] * count


def test_a_shape_is_compiled_once_and_from_shapes_alone(traces):
    function, shapes = traces
    program = Program(function, DEVICES, 'float32')
    abstract = jax.eval_shape(lambda: (NETWORK, BATCH))
    compiled = program.compile(*abstract)
    for network in (NETWORK, {'weight': -NETWORK['weight']}):
        placed = program.place(network)
        np.testing.assert_array_equal(program(placed, BATCH)['product'], BATCH @ network['weight'])
        assert program.compile(placed, BATCH) is compiled
    assert shapes == [(1, 3)]
    program(placed, np.concatenate([BATCH, BATCH]))
    assert shapes == [(1, 3), (2, 3)]


def test_threads_share_a_compilation(traces):
    function, shapes = traces
    program = Program(function, DEVICES, 'float32')
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(lambda _: program.compile(NETWORK, BATCH), range(4)))) == 1
    assert shapes == [(1, 3)]


def test_a_failed_compilation_is_tried_again():
    broken = [True]

    def function(network, batch):
        if broken:
            raise ValueError('not yet')
        return product(network, batch)

    program = Program(function, DEVICES, 'float32')
    with pytest.raises(ValueError, match='not yet'):
        program.compile(NETWORK, BATCH)
    broken.clear()
    np.testing.assert_array_equal(program(program.place(NETWORK), BATCH)['product'], BATCH @ NETWORK['weight'])


@pytest.mark.parametrize('precision, expected', [('float32', 'HIGHEST'), ('tf32', 'DEFAULT')])
def test_precision_of_products(precision, expected):
    text = Program(product, DEVICES[:1], precision).lower(NETWORK, BATCH).as_text()
    assert f'precision = [{expected}, {expected}]' in text or (expected == 'DEFAULT' and 'HIGHEST' not in text)


def test_only_forms_for_the_platform_of_the_devices_are_traced():
    def function(network, batch):
        return by_platform(batch, cpu=jnp.sin, cuda=jnp.tan, default=jnp.cos)

    text = Program(function, DEVICES[:1], 'float32').lower(NETWORK, BATCH).as_text()
    assert len(re.findall(r'stablehlo\.(sine|tan|cosine|case)', text)) == 1


def test_a_function_with_its_network():
    run = OnDevices(lambda network, a, b: a @ network['weight'] + b, NETWORK, DEVICES, 'float32')
    run.check(jax.ShapeDtypeStruct((8, 3), jnp.float32), jax.ShapeDtypeStruct((8, 1), jnp.float32))
    with pytest.raises(TypeError, match='contracting'):
        run.check(jax.ShapeDtypeStruct((8, 4), jnp.float32), jax.ShapeDtypeStruct((8, 1), jnp.float32))
    added = np.ones([8, 1], np.float32)
    np.testing.assert_array_equal(run(BATCH, added), BATCH @ NETWORK['weight'] + 1)
