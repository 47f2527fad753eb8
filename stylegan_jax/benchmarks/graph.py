"""Counts the kernels, bytes and convolutions of a compiled function, from the optimised HLO text of any backend.

It measures no time. Bytes are those that every kernel reads and writes, as if there were no caches.
"""

import collections
import dataclasses
import math
import re

# Larger than any filter of this project's networks; filter gradients that do not take cuDNN's own path exceed it.
LARGEST_WINDOW = 7

_BYTES = {
    'pred': 1,
    's8': 1,
    'u8': 1,
    's16': 2,
    'u16': 2,
    'bf16': 2,
    'f16': 2,
    's32': 4,
    'u32': 4,
    'f32': 4,
    's64': 8,
    'u64': 8,
    'f64': 8,
}
_ARRAY = re.compile(r'\b(' + '|'.join(_BYTES) + r')\[([\d,]*)\]')
_HEAD = re.compile(r'(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{')
_INSTRUCTION = re.compile(r'\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)')
_CALLED = re.compile(r'(?:to_apply|calls)=%?([\w.\-]+)')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
# These instructions name, gather or wait for values, and start no kernel.
_FREE = frozenset({'parameter', 'get-tuple-element', 'bitcast', 'tuple', 'constant', 'after-all', 'async-done'})


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


@dataclasses.dataclass(frozen=True)
class _Instruction:
    name: str
    shape: str
    op: str
    operands: tuple
    line: str

    @property
    def kind(self) -> str:
        """The class of operation that its launch is counted under."""
        if self.op == 'custom-call':
            return _first(r'custom_call_target="([^"]+)"', self.line)
        return 'fusion ' + _first(r'kind=(k\w+)', self.line) if self.op == 'fusion' else self.op


def read_graph(text: str) -> Graph:
    """Reads optimized HLO, such as `jax.jit(f).lower(...).compile().as_text()`.

    Args:
      text: of one module.

    Returns:
      The counts.
    """
    computations, entry = _computations(text)
    kernels, moved = _work(computations, entry)
    convolutions, oversized, pads, float32 = collections.Counter(), [], [], []
    for instructions in computations.values():
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
            if 'f32' in {call[2], *(_dtype(shapes.get(name, '')) for name in instruction.operands[:2])}:
                float32.append(instruction.line.strip())
    return Graph(kernels, moved, convolutions, oversized, pads, float32)


def _computations(text):
    """Splits a module into computations, {name: [instructions]}; also returns the name of the entry computation."""
    found, entry, name = {}, None, None
    for line in text.splitlines():
        if head := _HEAD.match(line):
            name = head[2]
            found[name] = []
            entry = name if head[1] else entry
        elif line.startswith('}'):
            name = None
        elif name and (match := _INSTRUCTION.match(line)):
            operands = tuple(re.findall(r'%([\w.\-]+)', _until_closed(match[4])))
            found[name].append(_Instruction(match[1], match[2], match[3], operands, line))
    return found, entry


def _until_closed(text):
    """Returns the start of a text up to the parenthesis that closes the one before the text."""
    depth = 1
    for place, character in enumerate(text):
        depth += (character == '(') - (character == ')')
        if not depth:
            return text[:place]
    return text


def _work(computations, name):
    """Returns the launches and bytes of one computation, and of those that it calls, as two Counters."""
    kernels, moved, shapes = collections.Counter(), collections.Counter(), {}

    def add(work, times=1):
        for counter, more in zip((kernels, moved), work):
            for kind, count in more.items():
                counter[kind] += times * count

    for instruction in computations[name]:
        shapes[instruction.name] = instruction.shape
        line = instruction.line
        if instruction.op == 'while':
            trips = _TRIPS.search(line)
            add(_work(computations, _first(r'body=%?([\w.\-]+)', line)), int(trips[1]) if trips else 1)
        elif instruction.op == 'conditional':
            add(max((_work(computations, branch) for branch in _branches(line)), key=lambda work: work[1].total()))
        elif instruction.op in ('call', 'async-start'):
            called = _CALLED.search(line)
            if called and called[1] in computations:
                add(_work(computations, called[1]))
        elif instruction.op not in _FREE:
            size = _size(instruction.shape) + sum(_size(shapes.get(operand, '')) for operand in instruction.operands)
            add(({instruction.kind: 1}, {instruction.kind: size}))
    return kernels, moved


def _branches(line):
    listed = re.search(r'branch_computations=\{([^}]*)\}', line)
    return (
        re.findall(r'[\w.\-]+', listed[1]) if listed else re.findall(r'(?:true|false)_computation=%?([\w.\-]+)', line)
    )


def _cudnn_call(instruction):
    """Returns (kind, window, type of the result) of a convolution by cuDNN; None for anything else."""
    kind = re.search(r'custom_call_target="__cudnn\$(\w+)"', instruction.line)
    window = re.search(r'window=\{size=([\dx]+)', instruction.line)
    return (kind[1], window[1], _dtype(instruction.shape)) if kind and window else None


def _puts_zeros_between(line):
    """Whether the third number of a dimension's low_high_interior is not 0."""
    padding = re.search(r'padding=([\d_x\-]+)', line)
    return bool(padding) and any(int(([*edges.split('_'), '0'])[2]) > 0 for edges in padding[1].split('x'))


def _size(shape):
    """Bytes of an array, or of all arrays of a tuple."""
    return sum(
        _BYTES[dtype] * math.prod(int(side) for side in sides.split(',') if side)
        for dtype, sides in _ARRAY.findall(shape)
    )


def _dtype(shape):
    """Element type of an array, or of the first one of a tuple; '' for something else."""
    array = _ARRAY.search(shape)
    return array[1] if array else ''


def _first(pattern, line):
    return re.search(pattern, line)[1]
