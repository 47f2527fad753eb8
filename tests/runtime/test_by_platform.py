"""Forms of operations by platform: which one is traced, that none gets into the program of another platform."""

import collections
import functools
import re
import threading
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tiny
from stylegan_jax.benchmarks.cases import Case, abstract_iteration, iteration
from stylegan_jax.runtime.by_platform import by_platform, platform_of, traced_for

FORMS = {'cpu': 'sin', 'cuda': 'tan', 'tpu': 'cos', 'rocm': 'cos'}  # platform: the operation that the form below makes
STEP = {'resolution': 32, 'precision': 'bfloat16'}  # with 16 features, of which GPUs make blocks of pixels
WIDTHS = {'fmap_base': 256, 'fmap_max': 16}


def form(x):
    return by_platform(x, cpu=jnp.sin, cuda=jnp.tan, default=jnp.cos)


@jax.custom_vjp
def with_own_derivative(x):
    return x


with_own_derivative.defvjp(lambda x: (x, x), lambda x, dy: (form(x) * dy,))


def in_shard_map(x):
    mesh, whole = jax.sharding.Mesh(np.array(jax.devices()[:1]), ('x',)), jax.sharding.PartitionSpec()
    return jax.shard_map(form, mesh=mesh, in_specs=whole, out_specs=whole)(x)


JITTED, RECOMPUTED = jax.jit(form), jax.checkpoint(form)
FUNCTIONS = {
    'plain': form,
    'jit': JITTED,
    'checkpoint': jax.grad(lambda x: jnp.sum(RECOMPUTED(x) ** 2)),
    'custom_vjp': jax.grad(lambda x: jnp.sum(with_own_derivative(x))),
    'scan': lambda x: jax.lax.scan(lambda x, _: (JITTED(x), None), x, length=3)[0],
    'vmap': jax.vmap(JITTED),
    'shard_map': in_shard_map,
}


def operations(function):
    """Those of the forms that a trace of the function has."""
    return set(re.findall(r'= (sin|cos|tan) ', str(jax.make_jaxpr(function)(jnp.ones(4)))))


@pytest.mark.parametrize('name', [name for name in FUNCTIONS if name != 'checkpoint'])
def test_a_form_is_in_the_program_of_its_platform_alone(name):
    """Whatever was traced before in the same process, by the same function."""
    for platform in [*FORMS, None, *reversed(FORMS), None, *FORMS]:
        with traced_for(platform):
            assert operations(FUNCTIONS[name]) == ({FORMS[platform]} if platform else {'sin', 'cos', 'tan'})


def test_recomputed_forms_are_those_of_the_platform():
    """The derivative of the sine is a cosine, so the forms are told apart by the whole program."""
    traces = collections.defaultdict(set)
    for platform in [*FORMS, None, *reversed(FORMS), None]:
        with traced_for(platform):
            traces[platform and FORMS[platform]].add(str(jax.make_jaxpr(FUNCTIONS['checkpoint'])(jnp.ones(4))))
    assert [len(found) for found in traces.values()] == [1] * 4
    assert len(set().union(*traces.values())) == 4


def test_compiled_programs_are_kept_apart():
    x = jnp.arange(4.0)
    for platform, expected in [('cpu', jnp.sin), ('cuda', jnp.tan), ('tpu', jnp.cos), ('cpu', jnp.sin)]:
        with traced_for(platform):
            np.testing.assert_allclose(JITTED(x), expected(x), rtol=1e-5)
    np.testing.assert_allclose(JITTED(x), {'cpu': jnp.sin, 'gpu': jnp.tan}.get(jax.default_backend(), jnp.cos)(x), 1e-5)


def test_other_threads_trace_for_any_platform():
    found = []
    with traced_for('cuda'):
        thread = threading.Thread(target=lambda: found.append(operations(form)))
        thread.start()
        thread.join()
    assert found == [{'sin', 'cos', 'tan'}]


@pytest.mark.parametrize(
    'platform, version, expected',
    [
        ('cpu', 'cpu', 'cpu'),
        ('tpu', 'PJRT C API\nTFRT TPU v4', 'tpu'),
        ('gpu', 'PJRT C API\ncuda 12090', 'cuda'),
        ('gpu', 'PJRT C API\nrocm 60300', 'rocm'),
        ('cuda', 'PJRT C API\ncuda 12090', 'cuda'),
        ('gpu', 'PJRT C API\nNVIDIA H100 80GB HBM3', None),  # a topology, of which JAX tells no more
    ],
)
def test_platform_of_device(platform, version, expected):
    client = types.SimpleNamespace(platform_version=version)
    assert platform_of(types.SimpleNamespace(platform=platform, client=client)) == expected


def test_platform_of_this_machine_is_that_of_lowering():
    assert platform_of(jax.devices()[0]) == jax.export.default_export_platform()


def count_equations(value):
    """Number of equations in a jaxpr and in the functions that it calls; none in other values."""
    jaxpr = getattr(value, 'jaxpr', value)
    equations = getattr(jaxpr, 'eqns', ())
    return sum(1 + sum(map(count_equations, jax.tree.leaves(list(each.params.values())))) for each in equations)


@functools.cache
def step(platform):
    """A D step and a G step, traced for a platform, or for any."""
    case = Case(tiny.run_config(**STEP, generator=WIDTHS, discriminator=WIDTHS), 4)
    with traced_for(platform):
        return jax.jit(iteration(case, fades=True)).trace(*abstract_iteration(case))


def lowered_operations(traced, platform):
    """Number of operations by name, but for the choice of the platform, which is of a constant."""
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    counts = collections.Counter(re.findall(r'= "?(?:func\.)?(stablehlo\.\w+|call @\w+?(?=[_\d]*\())', text))
    return {name: count for name, count in counts.items() if name not in ('stablehlo.case', 'stablehlo.constant')}


@pytest.mark.parametrize(
    'platform', ['cuda', *(pytest.param(name, marks=pytest.mark.full) for name in ('cpu', 'rocm'))]
)
def test_a_step_has_the_same_operations_whether_its_platform_is_known_or_not(platform):
    assert lowered_operations(step(platform), platform) == lowered_operations(step(None), platform)


def test_a_step_for_a_gpu_is_quicker_to_trace():
    assert count_equations(step('cuda').jaxpr) < 0.75 * count_equations(step(None).jaxpr)
