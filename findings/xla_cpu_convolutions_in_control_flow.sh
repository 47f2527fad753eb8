#!/usr/bin/env bash
# XLA:CPU computes the gradients of a convolution with slow loops if they stand inside lax.cond, lax.scan or fori_loop.
#
# Seen on 2026-11-28, Linux x86-64, two cores: the gradients of two 3x3 convolutions of 16 images of 32x32 with 32
# channels take 11 to 14 ms at the outermost level of a program, and 410 to 440 ms inside lax.cond or lax.fori_loop, both
# with jax 0.10.2 (CPython 3.11) and with jax 0.12.0.1 (CPython 3.12; there 7 ms outside). At the outermost level the
# compiled program has convolutions of one order of axes only, b01f_01io->b01f; inside it has those orders in which JAX
# writes the derivatives, b01f_01oi->b01f and f01b_i01o->01bf. The forward convolution, which has the first order as
# written, is as fast inside as outside; and so are gradients that are written with explicit transposes into that order.
#
#     findings/xla_cpu_convolutions_in_control_flow.sh [PYTHON]        (3.11 or newer)
set -euo pipefail
python=${1:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2
cat >"$folder/measure.py" <<'PYTHON'
import re
import statistics
import time

import jax
import jax.numpy as jnp
from jax import lax

ORDER = ('NHWC', 'HWIO', 'NHWC')
x, kernel = jax.random.normal(jax.random.key(0), (16, 32, 32, 32)), jax.random.normal(jax.random.key(1), (3, 3, 32, 32))


def plain(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=ORDER)


@jax.custom_vjp
def transposed(x, kernel):
    return plain(x, kernel)


def backward(saved, dy):
    x, kernel = saved
    dx = plain(dy, kernel[::-1, ::-1].swapaxes(2, 3))
    return dx, plain(x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3)).transpose(1, 2, 0, 3)


transposed.defvjp(lambda x, kernel: (plain(x, kernel), (x, kernel)), backward)


def measure(convolve, where):
    gradients = jax.grad(lambda x, k: jnp.sum(jnp.square(convolve(jnp.tanh(convolve(x, k)), k))), argnums=(0, 1))
    program = {
        'outside': lambda x, k, n: gradients(x, k),
        'cond': lambda x, k, n: lax.cond(n > 0, gradients, lambda *both: both, x, k),
        'fori_loop': lambda x, k, n: lax.fori_loop(0, n, lambda _, both: gradients(x, k), (x, k)),
    }[where]
    compiled = jax.jit(program).lower(x, kernel, jnp.int32(1)).compile()
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        jax.block_until_ready(compiled(x, kernel, jnp.int32(1)))
        seconds.append(time.perf_counter() - start)
    orders = sorted(set(re.findall(r'dim_labels=(\S+?)[,\s]', compiled.as_text())))
    print(f'{convolve.__name__:10} {where:10} {1e3 * statistics.median(seconds[1:]):7.1f} ms  {orders}', flush=True)
    return statistics.median(seconds[1:]), orders


outside, orders = measure(plain, 'outside')
assert orders == ['b01f_01io->b01f'], 'changed: another order at the outermost level'
for where in ('cond', 'fori_loop'):
    inside, orders = measure(plain, where)
    assert inside > 5 * outside, f'changed: {where} takes {inside / outside:.1f} times as long only'
    assert len(orders) == 3, 'changed: other orders inside'
    inside, orders = measure(transposed, where)
    assert inside < 2 * outside and orders == ['b01f_01io->b01f'], 'changed: explicit transposes do not help'
print(jax.__version__, 'as described')
PYTHON
"$folder/venv/bin/python" "$folder/measure.py"
