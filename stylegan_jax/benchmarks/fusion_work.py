"""Counts what a fused kernel computes: how often each of its instructions is evaluated.

XLA:GPU computes an element of a fusion's result from the elements that it depends on, and those from theirs. An
instruction that is read at several places (the pixels around a pixel, for a blur) is evaluated anew for each of them.
What is read through a padding is evaluated behind a test whether the place is inside, which keeps the compiler from
reading several neighbours at once. That made such kernels the dearest of the training step, whatever the bytes.
"""

import collections
import dataclasses
import math

from stylegan_jax.benchmarks import hlo
from stylegan_jax.benchmarks.hlo import Instruction

# These only say where an element is; they compute nothing.
_PLACES = hlo.FREE | {'reshape', 'broadcast', 'slice', 'transpose', 'iota', 'copy'}
_IN_CACHE = 65536  # elements of arrays that stay in the caches, such as biases: reading them costs next to nothing


@dataclasses.dataclass(frozen=True)
class Work:
    """Evaluations in a fused kernel, in units of one element.

    Attributes:
      plain: of arithmetic.
      tests: whether a place is inside of a padding, one for each axis that is padded.
      guarded: of arithmetic and of reads behind such tests, once for each axis that is tested.
      reduced: elements that are added up.
      longest: the most elements that are added up to one number of the result, where they do not lie side by side.
        (Those that do are added up by many threads at once.)
    """

    plain: float
    tests: float
    guarded: float
    reduced: float
    longest: int


def count(instructions: list[Instruction]) -> Work:
    """Counts the evaluations of the computation of a fusion.

    Args:
      instructions: of the computation, operands first.
    """
    by_name = {instruction.name: instruction for instruction in instructions}
    # {name: {where: elements}}: an instruction is evaluated once for each place `where` that it is read at. A place is
    # (the number of elements that are computed, the axes tested on the way, the steps that lead there from an element).
    read_at = collections.defaultdict(dict)
    root = next(instruction for instruction in instructions if instruction.is_root)
    if hlo.updated_in_place(instructions):
        results = root.operands[1:2]
    else:
        results = root.operands if root.op == 'tuple' else [root.name]
    for name in results:
        elements = _elements(by_name[name])
        read_at[name][elements, 0, ()] = elements
    plain = tests = guarded = reduced = longest = 0
    for instruction in reversed(instructions):
        places = read_at[instruction.name]
        if instruction.op == 'reduce':
            summands = by_name[instruction.operands[0]]
            reduced += _elements(summands)
            if len(hlo.sides(summands.shape)) - 1 not in instruction.numbers('dimensions'):
                longest = max(longest, _elements(summands) // _elements(instruction))
        computes = instruction.op not in _PLACES
        for (_, axes, _), elements in places.items():
            if instruction.op == 'pad':
                tests += elements * _padded_axes(instruction)
            elif not axes:
                plain += elements * computes
            elif computes or (instruction.op == 'parameter' and _elements(instruction) > _IN_CACHE):
                guarded += elements * axes
        for place, elements in places.items():
            for operand, place_there, share in _read_by(instruction, place, by_name):
                there = read_at[operand]
                there[place_there] = max(there.get(place_there, 0), elements * share)
    return Work(plain, tests, guarded, reduced, longest)


def _read_by(instruction, place, by_name):
    """Yields (operand, the place that it is read at, share of the elements for which it is)."""
    computed, axes, steps = place
    operands = [name for name in instruction.operands if name in by_name]
    if instruction.op == 'slice':
        yield operands[0], (computed, axes, _moved(steps, _slice_starts(instruction))), 1
    elif instruction.op == 'pad':
        starts = [-int(edges.split('_')[0]) for edges in instruction.first(r'padding=([\-\dx_]+)').split('x')]
        yield operands[0], (computed, max(axes, _padded_axes(instruction)), _moved(steps, starts)), 1
    elif instruction.op == 'reduce':
        for name in operands[: len(operands) // 2]:
            elements = _elements(by_name[name])
            # A reduction of the fusion's result reads its operand once; other kernels may store what it reads.
            inside = () if not steps else (*steps, ('reduce', instruction.numbers('dimensions')))
            yield name, (elements, axes, inside), elements / _elements(instruction)
    elif instruction.op == 'concatenate':
        for number, name in enumerate(operands):
            share = _elements(by_name[name]) / _elements(instruction)
            yield name, (computed, axes, (*steps, ('part', number))), share
    elif instruction.op in ('broadcast', 'transpose', 'reshape', 'bitcast'):
        for name in operands:
            step = instruction.op, hlo.sides(by_name[name].shape), instruction.numbers('dimensions')
            same = instruction.op == 'bitcast' and hlo.sides(by_name[name].shape) == hlo.sides(instruction.shape)
            yield name, (computed, axes, steps if same else (*steps, step)), 1
    else:
        for name in operands:
            yield name, place, 1


def _moved(steps, by):
    """Adds a move along the axes to the steps; two moves are one, and none if they cancel."""
    if steps and steps[-1][0] == 'move':
        by = [one + other for one, other in zip(by, steps[-1][1])]
        steps = steps[:-1]
    return (*steps, ('move', tuple(by))) if any(by) else steps


def _slice_starts(instruction):
    ranges = instruction.first(r'slice=\{(.*?)\}')
    return [int(range_.strip(' []').split(':')[0]) for range_ in ranges.split(',')]


def _padded_axes(pad):
    return sum(edges.split('_')[:2] != ['0', '0'] for edges in pad.first(r'padding=([\-\dx_]+)').split('x'))


def _elements(instruction):
    return math.prod(hlo.sides(instruction.shape))
