"""Predicts how long each kernel of a compiled training step takes on a GPU, from the compiled program alone.

The model was fitted to profiles of two steps of configuration F on one NVIDIA H200 (2026-11-27, commit 322d52d, JAX
0.11.2, CUDA 13, driver 580): 256x256 with batch 32 and 1024x1024 with batch 8, and to single forms of a blur and of
moments. A test holds it to both profiles. It is for comparing forms of a step without a GPU; `benchmark
--what=train --kernels=FILE` compares it with the GPU at hand.

Three kinds of kernels matter:

- Convolutions take as long as their products at a rate that depends on the narrower of both feature axes: cuDNN's tiles
  are 32 features wide or more, and what a narrow layer does not use of them is lost.
- Fused elementwise kernels and reductions are limited by memory or by the instructions that they evaluate
  (`fusion_work`), whichever takes longer; between the two they overlap in part.
- All others (matrix products, copies, transpositions) move bytes.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Iterable

import numpy as np

from stylegan_jax.benchmarks import fusion_work, hlo

_BYTES_PER_US = 3.4e6  # what elementwise kernels reach of the memory's rate
_LAUNCH = 1.7  # [us]: the least that any kernel takes
_CONVOLUTION_LAUNCH = 8.0  # [us]: filling and emptying the pipelines of a convolution, or of its several kernels
# Picoseconds of an evaluation, see `fusion_work.Work`.
_PLAIN, _TEST, _GUARDED, _REDUCED = 0.026, 0.089, 0.0735, 0.24
_PER_ADDITION = 4.5e-3  # [us]: a block adds up the elements of a number one after another
# Products per second [1e12] by features on the narrower side: (kind, stride) -> rates.
_FEATURES = 16, 32, 64, 128, 256, 512
_RATES = {
    ('forward', 1): (49, 209, 480, 720, 800, 850),
    ('input', 1): (42, 210, 480, 720, 800, 850),
    ('filter', 1): (48, 118, 440, 600, 640, 700),
    ('forward', 2): (114, 440, 720, 820, 850, 850),
    ('input', 2): (61, 186, 420, 640, 720, 800),
    ('filter', 2): (145, 240, 560, 680, 800, 800),
}
_FLOAT32 = 0.45  # of these rates: TF32
_PRODUCTS = 300e6  # operations per us of a matrix product
_KINDS = {
    'convForward': 'forward',
    'convBiasActivationForward': 'forward',
    'convBackwardInput': 'input',
    'convBackwardFilter': 'filter',
}
_CUDNN = re.compile(r'custom_call_target="__cudnn\$(\w+)"')


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of a program, or several alike.

    Attributes:
      name: of its instruction.
      kind: 'convolution', 'input gradient', 'filter gradient', 'reduction', 'elementwise', 'product' or 'other'.
      shape: of its result.
      source: where it comes from in the program: the name scopes of the networks.
      times: how often it runs in a step.
      microseconds: of all these runs, predicted.
      gigabytes: that all these runs move.
    """

    name: str
    kind: str
    shape: str
    source: str
    times: int
    microseconds: float
    gigabytes: float

    @property
    def short_shape(self) -> str:
        """The shape without its layout."""
        return re.sub(r'\{[^}]*\}', '', self.shape)


def predict(text: str) -> list[Kernel]:
    """Predicts the kernels of optimised HLO for a GPU, the dearest first."""
    program = hlo.read(text)
    found = {}
    for instruction, operands, times in program.launches():
        kind, microseconds = _time(program, instruction, operands)
        before = found.get(instruction.name)
        times += before.times if before else 0
        found[instruction.name] = Kernel(
            instruction.name,
            kind,
            instruction.shape,
            instruction.first(r'op_name="([^"]*)"'),
            times,
            microseconds * times,
            program.moved_bytes(instruction, operands) / 1e9 * times,
        )
    return sorted(found.values(), key=lambda kernel: -kernel.microseconds)


def milliseconds(kernels: Iterable[Kernel]) -> float:
    """Returns the sum of the times of kernels."""
    return sum(kernel.microseconds for kernel in kernels) / 1e3


def by_kind(kernels: Iterable[Kernel]) -> collections.Counter:
    """Returns {kind: milliseconds}."""
    total = collections.Counter()
    for kernel in kernels:
        total[kernel.kind] += kernel.microseconds / 1e3
    return total


def table(kernels: list[Kernel], rows: int = 20) -> str:
    """Writes the sum, its parts, and the dearest kernels as text."""
    total = milliseconds(kernels)
    lines = [
        f'{total:.2f} ms a step, predicted: '
        + ', '.join(f'{kind} {part:.2f}' for kind, part in by_kind(kernels).most_common())
    ]
    for kernel in kernels[:rows]:
        lines.append(
            f'{kernel.microseconds:8.0f} us  x{kernel.times:<3d} {kernel.gigabytes:6.3f} GB  {kernel.kind:15s} '
            f'{kernel.short_shape[:44]:44s} {kernel.source[-60:]}'
        )
    return '\n'.join(lines)


def _time(program, instruction, operands):
    """Returns (kind, microseconds) of one run of a kernel."""
    moved = program.moved_bytes(instruction, operands)
    convolution = _CUDNN.search(instruction.line)
    if convolution and 'window=' in instruction.line:
        kind = _KINDS.get(convolution[1], 'forward')
        names = {'forward': 'convolution', 'input': 'input gradient', 'filter': 'filter gradient'}
        return names[kind], _convolution_time(kind, instruction, operands, moved)
    if instruction.op == 'fusion' and instruction.called in program.computations:
        instructions = program.computations[instruction.called]
        products = [one for one in instructions if one.op == 'dot']
        if products:
            return 'product', _product_time(products[0], instructions, moved)
        kind = 'reduction' if any(one.op == 'reduce' for one in instructions) else 'elementwise'
        return kind, _fusion_time(fusion_work.count(instructions), moved)
    return 'other', _LAUNCH + moved / _BYTES_PER_US


def _convolution_time(kind, instruction, operands, moved):
    """Of the three arrays (images, kernel, result) each kind lacks another one; the sides are the same."""
    result = hlo.sides(instruction.shape)
    first, second = (hlo.sides(shape) for shape in operands[:2])
    # Sides of the array at the end of the forward convolution, and of its kernel.
    outputs, kernel = {
        'forward': (result, second),
        'input': (first, second),
        'filter': (second, result),
    }[kind]
    window = instruction.first(r'window=\{size=(\d+x\d+)')
    stride = 2 if 'stride=' in instruction.line else 1
    pixels = math.prod(outputs) // outputs[-1]
    outputs_, inputs = kernel[0], math.prod(kernel) // kernel[0] // math.prod(map(int, window.split('x')))
    flops = 2 * pixels * math.prod(kernel)
    rate = np.interp(math.log2(min(outputs_, inputs)), np.log2(_FEATURES), _RATES[kind, stride]) * 1e6
    if hlo.dtype(instruction.shape) == 'f32':
        rate *= _FLOAT32
    return _CONVOLUTION_LAUNCH + max(flops / rate, moved / _BYTES_PER_US)


def _product_time(product, instructions, moved):
    shapes = {one.name: hlo.sides(one.shape) for one in instructions}
    contracted = [shapes[product.operands[0]][axis] for axis in product.numbers('lhs_contracting_dims')]
    flops = 2 * math.prod(hlo.sides(product.shape)) * math.prod(contracted)
    return _LAUNCH + max(flops / _PRODUCTS, moved / _BYTES_PER_US)


def _fusion_time(work, moved):
    picoseconds = work.plain * _PLAIN + work.tests * _TEST + work.guarded * _GUARDED + work.reduced * _REDUCED
    computing = picoseconds / 1e6
    return _LAUNCH + math.hypot(moved / _BYTES_PER_US, computing) + work.longest * _PER_ADDITION
