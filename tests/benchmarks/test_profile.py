"""Profiles: reading a trace of JAX's profiler, and what is said about a profile."""

import jax
import jax.numpy as jnp
import pytest

from stylegan_jax.benchmarks import profile
from stylegan_jax.errors import UserError

GPU, HOST = 1, 2


def event(pid, name, microseconds, op=None):
    return {'ph': 'X', 'pid': pid, 'name': name, 'ts': 0, 'dur': microseconds, 'args': {'hlo_op': op} if op else {}}


EVENTS = [
    {'ph': 'M', 'pid': GPU, 'name': 'process_name', 'args': {'name': '/device:GPU:0'}},
    {'ph': 'M', 'pid': HOST, 'name': 'process_name', 'args': {'name': '/host:CPU'}},
    *2 * [event(GPU, 'sm90_convolution', 30.0, 'cudnn-conv.7')],
    *2 * [event(GPU, 'Memset', 2.0, 'cudnn-conv.7')],
    *2 * [event(GPU, 'loop_add_fusion_3', 5.0, 'command_buffer_12')],
    event(GPU, 'a kernel of no instruction', 9.0),
    event(HOST, 'python', 1000.0, 'cudnn-conv.7'),
]


def test_kernels_of_a_trace():
    assert profile.kernels_of(EVENTS, steps=2) == {'cudnn-conv.7': (2, 32.0), 'loop_add_fusion.3': (1, 5.0)}


def test_round_trip_and_comparison(tmp_path):
    program = """
ENTRY %main (x: f32[1]) -> f32[1] {
  %x = f32[1024,1024]{1,0} parameter(0)
  ROOT %copy.1 = f32[1024,1024]{1,0} copy(%x), metadata={op_name="jit(f)/copy"}
}
"""
    kept = {'microseconds': 1000.0, 'kernels': {'copy.1': [1, 900.0], 'memcpy': [2, 100.0]}, 'program': program}
    profile.write(str(tmp_path / 'p.json.gz'), kept)
    assert profile.read(str(tmp_path / 'p.json.gz')) == kept
    lines = profile.comparison(kept).splitlines()
    assert lines[0] == '1.00 ms a step measured, 0.00 predicted'
    assert lines[1].split() == ['other', '1.00', '0.00']
    assert '900 us' in lines[2] and 'f32[1024,1024]' in lines[2] and 'jit(f)/copy' in lines[2]


def test_a_cpu_has_no_kernels():
    compiled = jax.jit(lambda x: x @ x).lower(jnp.ones((8, 8))).compile()

    def run(count):
        for _ in range(count):
            compiled(jnp.ones((8, 8))).block_until_ready()

    with pytest.raises(UserError, match='saw no kernels'):
        profile.record(run, compiled, {})


def test_what_is_kept_of_a_program_is_what_the_model_reads():
    compiled = jax.jit(lambda x: jax.lax.fori_loop(0, 3, lambda _, x: jnp.sin(x @ x), x)).lower(jnp.ones((32, 32)))
    text = compiled.compile().as_text()
    shortened = profile._shortened(text)
    assert len(shortened) < len(text)
    assert profile.kernel_time.predict(shortened) == profile.kernel_time.predict(text)
