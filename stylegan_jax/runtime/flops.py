"""Floating point operations that the mathematics of a function requires, counted in its jaxpr ("model FLOPs").

Matrix products (and vector products: the norm of gradients) and convolutions count, with two operations per
multiply-add; elementwise work does not. Padding counts. Zeros that a transposed convolution inserts between its inputs
do not, nor do equations that no result depends on. The count is therefore a property of the function, not of the way a
compiler carries it out or of the form that a platform prefers.
"""

import math
from collections.abc import Callable

import jax

from stylegan_jax.runtime.by_platform import traced_for


def model_flops(fn: Callable, *args: object) -> int:
    """Counts the operations of one call, without running it.

    Args:
      fn: a traceable function.
      *args: pytrees of arrays or jax.ShapeDtypeStruct.

    Returns:
      Number of operations. Of the branches of a condition the most expensive one counts.

    Raises:
      ValueError: there are products in a loop whose number of iterations is not known beforehand.
    """
    with traced_for('any'):  # No operation has a form of this name, so that all take the default, plain one.
        jaxpr = jax.make_jaxpr(fn)(*args).jaxpr
    return _count(jaxpr, [True] * len(jaxpr.outvars))[0]


def _count(jaxpr, wanted):
    """Counts the operations that the wanted results of a jaxpr depend on.

    Goes through the equations backward, and skips those that nothing wanted depends on (dead code).

    Args:
      jaxpr: a jaxpr.
      wanted: for each of its results whether anything needs it.

    Returns:
      (operations, for each of its arguments whether it was needed).
    """
    needed = {var for var, is_wanted in zip(jaxpr.outvars, wanted) if is_wanted and _is_variable(var)}
    total = 0
    for equation in reversed(jaxpr.eqns):
        results = [var in needed for var in equation.outvars]
        if any(results) or equation.effects:
            flops, arguments = _count_equation(equation, results)
            total += flops
            needed |= {var for var, is_needed in zip(equation.invars, arguments) if is_needed and _is_variable(var)}
    return total, [var in needed for var in jaxpr.invars]


def _count_equation(equation, wanted):
    """Like `_count`, for one equation and the functions that it calls."""
    name, params, everything = equation.primitive.name, equation.params, [True] * len(equation.invars)
    if name == 'conv_general_dilated':
        return _convolution(equation), everything
    if name == 'dot_general':
        return _product(equation), everything
    inner = [_bare(value) for value in jax.tree.leaves(params, is_leaf=_is_jaxpr) if _is_jaxpr(value)]
    if not inner:
        return 0, everything
    if name == 'scan':
        return params['length'] * _all_of(inner[0]), everything
    if name == 'cond':
        return max(map(_all_of, inner)), everything
    if name == 'while':
        if any(map(_all_of, inner)):
            raise ValueError('a loop with an unknown number of iterations holds matrix products')
        return 0, everything
    # Equations that call another function for any purpose (jit, shard_map, custom derivatives, rematerialisation).
    called = inner[0]
    if len(called.outvars) == len(wanted) and len(called.invars) == len(everything):
        return _count(called, wanted)
    return _all_of(called), everything


def _all_of(jaxpr):
    return _count(jaxpr, [True] * len(jaxpr.outvars))[0]


def _convolution(equation):
    numbers, kernel = equation.params['dimension_numbers'], equation.invars[1].aval.shape
    taps = math.prod(kernel[axis] for axis in numbers.rhs_spec[1:])  # multiply-adds per output: inputs times window
    return 2 * equation.outvars[0].aval.size * taps // math.prod(equation.params['lhs_dilation'])


def _product(equation):
    (contracted, _), _ = equation.params['dimension_numbers']
    shape = equation.invars[0].aval.shape
    return 2 * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)


def _is_variable(var):
    return not hasattr(var, 'val')  # jaxprs hold constants (Literal) where variables can be


def _is_jaxpr(value):
    return hasattr(value, 'eqns') or hasattr(value, 'jaxpr')


def _bare(value):
    """Returns the jaxpr inside a closed one, which carries its constants along."""
    return value.jaxpr if hasattr(value, 'jaxpr') else value
