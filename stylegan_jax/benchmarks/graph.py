"""Counts the kernels, bytes and convolutions of a compiled function, from the optimised HLO text of any backend.

It measures no time. Bytes are those that every kernel reads and writes, as if there were no caches.
"""

import collections
import dataclasses
import re

from stylegan_jax.benchmarks import hlo

# Larger than any filter of this project's networks; filter gradients that do not take cuDNN's own path exceed it.
LARGEST_WINDOW = 7


@dataclasses.dataclass(frozen=True)
class Graph:
    """One compiled function.

    Attributes:
      kernels: launches by class of operation. The body of a loop counts once per iteration (once if the number of
        iterations is not known); of the branches of a conditional, the one that moves most bytes counts.
      bytes_moved: bytes that those kernels read and write, by class.
      convolutions: cuDNN calls in the text by (kind, window such as '3x3', type of the result).
      oversized_filters: the lines of cuDNN calls with a window above LARGEST_WINDOW. These are filter gradients that
        XLA did not recognise as such; they are many times slower.
      dilated_pads: the lines of pads that put zeros between pixels. These are transposed convolutions that run as
        ordinary ones, mostly over zeros.
      float32_convolutions: the lines of cuDNN calls that read or write float32.
    """

    kernels: collections.Counter
    bytes_moved: collections.Counter
    convolutions: collections.Counter
    oversized_filters: list
    dilated_pads: list
    float32_convolutions: list

    @property
    def total_kernels(self) -> int:
        return self.kernels.total()

    @property
    def total_bytes(self) -> int:
        return self.bytes_moved.total()

    def __str__(self):
        lines = [f'{self.total_kernels} kernels move {self.total_bytes / 1e9:.3f} GB']
        lines += [
            f'  {name:32s} x{self.kernels[name]:<5d} {moved / 1e9:8.3f} GB'
            for name, moved in self.bytes_moved.most_common()
        ]
        lines += [
            f'  cuDNN {kind:28s} {window:>9s} {dtype:4s} x{count}'
            for (kind, window, dtype), count in self.convolutions.most_common()
        ]
        return '\n'.join(
            [
                *lines,
                f'  oversized filters: {len(self.oversized_filters)}, dilated pads: '
                f'{len(self.dilated_pads)}, float32 convolutions: {len(self.float32_convolutions)}',
            ]
        )


def read_graph(text: str) -> Graph:
    """Reads optimized HLO, such as `jax.jit(f).lower(...).compile().as_text()`.

    Args:
      text: of one module.

    Returns:
      The counts.
    """
    program = hlo.read(text)
    kernels, moved = hlo.counts(program)
    convolutions, oversized, pads, float32 = collections.Counter(), [], [], []
    for instructions in program.computations.values():
        shapes = {instruction.name: instruction.shape for instruction in instructions}
        for instruction in instructions:
            if instruction.op == 'pad' and _puts_zeros_between(instruction.line):
                pads.append(instruction.line.strip())
            call = _cudnn_call(instruction)
            if call is None:
                continue
            convolutions[call] += 1
            if max(map(int, call[1].split('x'))) > LARGEST_WINDOW:
                oversized.append(instruction.line.strip())
            # The first two operands are the factors; others (bias, side input) do not decide the type of the products.
            if 'f32' in {call[2], *(hlo.dtype(shapes.get(name, '')) for name in instruction.operands[:2])}:
                float32.append(instruction.line.strip())
    return Graph(kernels, moved, convolutions, oversized, pads, float32)


def _cudnn_call(instruction):
    """Returns (kind, window, type of the result) of a convolution by cuDNN; None for anything else."""
    kind = re.search(r'custom_call_target="__cudnn\$(\w+)"', instruction.line)
    window = re.search(r'window=\{size=([\dx]+)', instruction.line)
    return (kind[1], window[1], hlo.dtype(instruction.shape)) if kind and window else None


def _puts_zeros_between(line):
    """Whether the third number of a dimension's low_high_interior is not 0."""
    padding = re.search(r'padding=([\d_x\-]+)', line)
    return bool(padding) and any(int(([*edges.split('_'), '0'])[2]) > 0 for edges in padding[1].split('x'))
