"""How a process ends while one of its threads still compiles."""

import subprocess
import sys
import threading
import time

import jax
import pytest

import tiny
from stylegan_jax import training
from stylegan_jax.runtime import compiling

# What is compiled takes much longer than the rest.
PROGRAM = """
import sys, time
import jax, jax.numpy as jnp
from stylegan_jax.runtime import compiling
from stylegan_jax.runtime.compiling import Compilation, is_compiling

def slow(x):
    for number in range({size}):
        x = jnp.sin(x @ x + number)
    return x

going = Compilation(lambda: jax.jit(slow).lower(jnp.ones([8, 8])).compile())
time.sleep(1.0)
"""
LEAVING = (
    PROGRAM.format(size=4000)
    + """
def end():
    print('unflushed', end='')
    assert is_compiling()
    {end}

with compiling.abandoned_at_exit():
    end()
"""
)


def run(program):
    return subprocess.run([sys.executable, '-c', program], text=True, capture_output=True, timeout=300)


@pytest.mark.parametrize(
    'end, code, last_line',
    [
        ('sys.exit(0)', 0, ''),
        ('sys.exit()', 0, ''),
        ('sys.exit(143)', 143, ''),
        ('sys.exit("a reason")', 1, 'a reason'),
        ('raise ValueError("a reason")', 1, 'ValueError: a reason'),
    ],
)
def test_a_process_that_compiles_ends_as_it_should(end, code, last_line):
    done = run(LEAVING.format(end=end))
    assert (done.returncode, done.stdout) == (code, 'unflushed'), done.stderr
    assert done.stderr.strip().rpartition('\n')[2] == last_line, done.stderr


def test_whoever_knows_nothing_of_it_waits_for_the_end():
    done = run(PROGRAM.format(size=1500) + 'import atexit\natexit.register(lambda: print("not yet", is_compiling()))')
    assert (done.returncode, done.stdout) == (0, 'not yet True\n'), done.stderr


def test_one_program_is_traced_at_a_time():
    """While XLA compiles one, the next one may be traced."""
    spans, events = {}, {f'/jax/core/compile/{name}_duration' for name in ('jaxpr_trace', 'jaxpr_to_mlir_module')}

    def listen(event, seconds, fun_name='', **details):
        if event in events and 'iteration' in fun_name:
            end = time.monotonic()
            spans.setdefault(threading.current_thread(), []).append((end - seconds, end))

    config = tiny.run_config()
    step, state = training.Devices(config).iteration(), jax.eval_shape(lambda: training.create_state(config))
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for compilation in [step.prepare(state, training.Program(stage, 4)) for stage in (0, 1)]:
            compilation.result()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert [len(each) for each in spans.values()] == [2, 2]
    first, second = sorted((min(starts), max(ends)) for starts, ends in (zip(*each) for each in spans.values()))
    assert first[1] <= second[0], (first, second)


def test_an_end_without_compiling_is_an_ordinary_one():
    with pytest.raises(SystemExit) as caught, compiling.abandoned_at_exit():
        sys.exit(7)
    assert caught.value.code == 7
