"""Reads optimised HLO, the text of a compiled program: its instructions, and which of them start kernels how often.

`graph` counts with it, `kernel_time` predicts with it.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Iterator

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
_INSTRUCTION = re.compile(r'\s+(ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)')
_CALLED = re.compile(r'(?:to_apply|calls)=%?([\w.\-]+)')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
# These instructions name, gather or wait for values, and start no kernel.
FREE = frozenset({'parameter', 'get-tuple-element', 'bitcast', 'tuple', 'constant', 'after-all', 'async-done'})


@dataclasses.dataclass(frozen=True)
class Instruction:
    """A line of a computation.

    Attributes:
      name: of its result.
      shape: of its result as text, with the layout; a tuple of several in parentheses.
      op: such as 'fusion' or 'custom-call'.
      operands: names.
      is_root: whether it is the result of its computation.
      line: the whole line.
    """

    name: str
    shape: str
    op: str
    operands: tuple[str, ...]
    is_root: bool
    line: str

    @property
    def kind(self) -> str:
        """The class of operation that its launch is counted under."""
        if self.op == 'custom-call':
            return self.first(r'custom_call_target="([^"]+)"')
        return 'fusion ' + self.first(r'kind=(k\w+)') if self.op == 'fusion' else self.op

    @property
    def called(self) -> str | None:
        """The computation that it calls, as fusions do; None if it calls none."""
        called = _CALLED.search(self.line)
        return called and called[1]

    def first(self, pattern: str, default: str = '') -> str:
        """Returns the first group of the first match of a regular expression in the line."""
        match = re.search(pattern, self.line)
        return match[1] if match else default

    def numbers(self, name: str) -> tuple[int, ...]:
        """Returns the attribute NAME={1,2,3} of the line as numbers, () if it has none."""
        return tuple(int(number) for number in self.first(rf'\b{name}=\{{([\d,]*)\}}').split(',') if number)


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      computations: {name: instructions}, in an order in which operands come first.
      entry: the name of the computation that the program starts with.
    """

    computations: dict[str, list[Instruction]]
    entry: str

    def launches(self, name: str | None = None) -> Iterator[tuple[Instruction, list[str], int]]:
        """Yields what starts kernels, as (instruction, shapes of its operands, how many times).

        The body of a loop counts once per iteration (once if the number of iterations is not known); of the branches of
        a conditional, the one that moves most bytes counts.

        Args:
          name: of a computation; None for the whole program.
        """
        shapes = {}
        for instruction in self.computations[name or self.entry]:
            shapes[instruction.name] = instruction.shape
            if instruction.op == 'while':
                trips = _TRIPS.search(instruction.line)
                for launched, operands, times in self.launches(instruction.first(r'body=%?([\w.\-]+)')):
                    yield launched, operands, times * (int(trips[1]) if trips else 1)
            elif instruction.op == 'conditional':
                branches = [list(self.launches(branch)) for branch in _branches(instruction.line)]
                yield from max(branches, key=self._moved_by_all)
            elif instruction.op in ('call', 'async-start'):
                if instruction.called in self.computations:
                    yield from self.launches(instruction.called)
            elif instruction.op not in FREE:
                yield instruction, [shapes.get(operand, '') for operand in instruction.operands], 1

    def moved_bytes(self, instruction: Instruction, operand_shapes: list[str]) -> int:
        """Returns the bytes that a kernel reads and writes, as if there were no caches."""
        fused = self.computations.get(instruction.called, []) if instruction.op == 'fusion' else []
        if updated := updated_in_place(fused):
            return sum(map(size, operand_shapes)) - size(instruction.shape) + size(updated)
        parts = _parts_read(fused)
        return size(instruction.shape) + sum(
            parts.get(number, size(shape)) for number, shape in enumerate(operand_shapes)
        )

    def _moved_by_all(self, launches):
        return sum(times * self.moved_bytes(instruction, operands) for instruction, operands, times in launches)


def read(text: str) -> Program:
    """Reads a module, such as `jax.jit(f).lower(...).compile().as_text()`."""
    found, entry, name = {}, '', None
    for line in text.splitlines():
        if head := _HEAD.match(line):
            name = head[2]
            found[name] = []
            entry = name if head[1] else entry
        elif line.startswith('}'):
            name = None
        elif name and (match := _INSTRUCTION.match(line)):
            operands = tuple(re.findall(r'%([\w.\-]+)', _until_closed(match[5])))
            found[name].append(Instruction(match[2], match[3], match[4], operands, bool(match[1]), line))
    return Program(found, entry)


def updated_in_place(instructions: list[Instruction]) -> str | None:
    """Returns the shape of the part that a fused kernel replaces in one of its operands, if that is all that it does.

    XLA writes only that part where the kernel does not read the operand otherwise.

    Args:
      instructions: of the computation of a fusion.
    """
    root = next((one for one in instructions if one.is_root), None)
    if root is None or root.op != 'dynamic-update-slice':
        return None
    by_name = {one.name: one for one in instructions}
    whole, part = (by_name[name] for name in root.operands[:2])
    while whole.op == 'bitcast':
        whole = by_name[whole.operands[0]]
    same = {whole.name}  # names of the operand and of all that is the same memory
    for one in instructions:
        if one.op == 'bitcast' and one.operands[0] in same:
            same.add(one.name)
        elif one is not root and same.intersection(one.operands):
            return None
    return part.shape if whole.op == 'parameter' else None


def _parts_read(instructions):
    """Returns {number of an operand: bytes} that a fusion reads of each operand, which may be a part of it only."""
    needed = collections.Counter()  # elements of each instruction
    by_name = {one.name: one for one in instructions}
    parts = {}
    for instruction in reversed(instructions):
        elements = math.prod(sides(instruction.shape))
        count = elements if instruction.is_root else needed[instruction.name]
        if instruction.op == 'parameter':
            number = int(instruction.first(r'parameter\((\d+)\)'))
            parts[number] = size(instruction.shape) * min(1, count / max(1, elements))
        for operand in filter(None, map(by_name.get, instruction.operands)):
            there, share = sides(operand.shape), 1
            if instruction.op in ('reduce', 'dot'):
                share = math.prod(there) / max(1, elements)
            elif instruction.op == 'slice':
                # Memory is read in pieces that hold several elements of the last axis, whether or not all are needed.
                share = there[-1] / sides(instruction.shape)[-1]
            needed[operand.name] += count * share if instruction.op != 'tuple' else math.prod(there)
    return parts


def size(shape: str) -> int:
    """Returns the bytes of an array, or of all arrays of a tuple."""
    return sum(_BYTES[dtype] * math.prod(sides) for dtype, sides in arrays(shape))


def arrays(shape: str) -> list[tuple[str, tuple[int, ...]]]:
    """Returns (number type, sides) of an array, or of all arrays of a tuple."""
    return [(dtype, tuple(int(side) for side in sides.split(',') if side)) for dtype, sides in _ARRAY.findall(shape)]


def sides(shape: str) -> tuple[int, ...]:
    """Returns the sides of an array, or of the first one of a tuple; () for anything else."""
    return arrays(shape)[0][1] if arrays(shape) else ()


def dtype(shape: str) -> str:
    """Returns the number type of an array, or of the first one of a tuple; '' for anything else."""
    return arrays(shape)[0][0] if arrays(shape) else ''


def _branches(line):
    listed = re.search(r'branch_computations=\{([^}]*)\}', line)
    return (
        re.findall(r'[\w.\-]+', listed[1]) if listed else re.findall(r'(?:true|false)_computation=%?([\w.\-]+)', line)
    )


def _until_closed(text):
    """Returns the start of a text up to the parenthesis that closes the one before the text."""
    depth = 1
    for place, character in enumerate(text):
        depth += (character == '(') - (character == ')')
        if not depth:
            return text[:place]
    return text


def counts(program: Program) -> tuple[collections.Counter, collections.Counter]:
    """Returns (launches, bytes that they move) by kind of instruction."""
    kernels, moved = collections.Counter(), collections.Counter()
    for instruction, operands, times in program.launches():
        kernels[instruction.kind] += times
        moved[instruction.kind] += times * program.moved_bytes(instruction, operands)
    return kernels, moved
