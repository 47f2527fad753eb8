"""The rules by which weights and images of the references for feature networks are made; see
tests/reference/README.md."""

import zlib

import numpy as np


def crc(array):
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def rule_array(name, shape, gain):
    """The float32 array that the rule gives a name; `gain` is that of convolutions."""
    rng = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF)
    if len(shape) == 4:
        values = rng.randn(*shape)
        values -= values.mean((1, 2, 3), keepdims=True)
        values *= gain / np.sqrt(np.prod(shape[1:]))
    elif len(shape) == 2:
        values = rng.randn(*shape) * 2 / np.sqrt(shape[1])
    elif name.endswith('.running_var'):
        values = 0.1 + rng.rand(*shape)
    else:
        values = 0.1 * rng.randn(*shape) + name.endswith('.weight')
    return np.float32(values)


def rule_arrays(shapes, gain):
    return {name: rule_array(name, tuple(shape), gain) for name, shape in shapes.items()}


def rule_linear(name, width):
    """A linear layer of LPIPS by the rule, [1, C, 1, 1] as in files."""
    rng = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF)
    return np.float32(0.1 * np.abs(rng.randn(1, width, 1, 1)))


def rule_image(seed, height, width):
    """A picture of noise at four scales, uint8 [H, W, 3]."""
    rng, total = np.random.RandomState(seed), np.zeros((height, width, 3), int)
    for side, weight in ((64, 8), (16, 4), (4, 2), (1, 1)):
        grid = rng.randint(0, 256, (-(-height // side), -(-width // side), 3))
        total += weight * grid.repeat(side, 0).repeat(side, 1)[:height, :width]
    return np.uint8(np.clip((total // 15 - 128) * 2 + 128, 0, 255))
