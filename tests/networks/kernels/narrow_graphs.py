"""Prints what convolutions of 16 features become on an H100, as JSON; a process of its own, with XLA's own flags.

STYLEGAN_JAX_GPU_COMPILER=FOLDER python tests/networks/kernels/narrow_graphs.py
"""

import json
import math
import re

import jax
import jax.numpy as jnp

from stylegan_jax.benchmarks.graph import read_graph
from stylegan_jax.benchmarks.h100 import compile_for_h100
from stylegan_jax.networks.kernels import convolution, row_packing

LAYERS = {
    'same': (convolution.same_convolve, (2, 64, 64, 16), (16, 16)),
    'down': (convolution.down_convolve, (2, 64, 64, 16), (16, 32)),
    'up': (lambda x, weight: convolution.up_convolve(x, weight, flip=False), (2, 32, 32, 32), (32, 16)),
}


def with_derivatives(layer):
    """The layer, its gradients, and the second derivatives that R1 needs."""

    def gradients(x, weight):
        return jax.grad(lambda *at: jnp.sum(jnp.sin(layer(*at)), dtype=jnp.float32), argnums=(0, 1))(x, weight)

    def penalty(x, weight):
        return jnp.sum(jnp.square(gradients(x, weight)[0]), dtype=jnp.float32)

    return lambda x, weight: (
        layer(x, weight),
        gradients(x, weight),
        jax.grad(penalty, argnums=(0, 1))(x, weight),
    )


def describe(layer, images, features):
    """Compiles and reads."""
    jax.clear_caches()
    text = compile_for_h100(
        with_derivatives(layer),
        jax.ShapeDtypeStruct(images, jnp.bfloat16),
        jax.ShapeDtypeStruct((3, 3, *features), jnp.float32),
    ).as_text()
    graph = read_graph(text)
    moves = re.findall(r'= \w+\[([\d,]+)\]\S* (?:copy|transpose)\(', text)
    pixels = math.prod(images[:3])
    return {
        'kernels': graph.total_kernels,
        'calls': [(*call, count) for call, count in graph.convolutions.items()],
        'oversized_filters': graph.oversized_filters,
        'dilated_pads': graph.dilated_pads,
        'float32_convolutions': graph.float32_convolutions,
        'moved_images': [shape for shape in moves if math.prod(map(int, shape.split(','))) >= 16 * pixels],
    }


def main():
    """Compiles each layer in blocks of pixels and pixel by pixel."""
    packed = {name: describe(*layer) for name, layer in LAYERS.items()}
    row_packing.is_half_precision = lambda dtype: False
    plain = {name: describe(*layer) for name, layer in LAYERS.items()}
    print(json.dumps({name: {'packed': packed[name], 'plain': plain[name]} for name in LAYERS}))


if __name__ == '__main__':
    main()
