"""Floating point operations that the mathematics of a function asks for, counted in its jaxpr.

Products of matrices (and of vectors: the norm of gradients) and convolutions alone, two for a multiply-add. Zeros that
a transposed convolution puts between its inputs do not count, padding does, and what leads to no result does not: the
count is a property of the function, not of how a compiler carries it out, or of the form that a platform prefers.
"""

import math

import jax


def model_flops(fn, *args):
    """Counts the operations of one call; nothing is computed.

    Args:
      fn: a traceable function.
      *args: pytrees of arrays or jax.ShapeDtypeStruct.

    Returns:
      int. Of the branches of a condition the dearest counts.

    Raises:
      ValueError: there are products in a loop whose number of iterations is decided while it runs.
    """
    jaxpr = jax.make_jaxpr(fn)(*args).jaxpr
    return _count(jaxpr, [True] * len(jaxpr.outvars))[0]


def _count(jaxpr, wanted):
    """Counts what the wanted results of a jaxpr take.

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
    """Like `_count`, for one equation."""
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
    if name == 'cond' and params.get('branches_platforms'):  # forms of the same for different devices: the plain one
        return _all_of(inner[-1]), everything
    if name == 'cond':
        return max(map(_all_of, inner)), everything
    if name == 'while':
        if any(map(_all_of, inner)):
            raise ValueError('a loop with an unknown number of iterations holds matrix products')
        return 0, everything
    # What calls another function, whatever its purpose (jit, shard_map, custom derivatives, rematerialisation).
    called = inner[0]
    if len(called.outvars) == len(wanted) and len(called.invars) == len(everything):
        return _count(called, wanted)
    return _all_of(called), everything


def _all_of(jaxpr):
    return _count(jaxpr, [True] * len(jaxpr.outvars))[0]


def _convolution(equation):
    numbers, kernel = equation.params['dimension_numbers'], equation.invars[1].aval.shape
    taps = math.prod(kernel[axis] for axis in numbers.rhs_spec[1:])  # of one output: inputs and window
    return 2 * equation.outvars[0].aval.size * taps // math.prod(equation.params['lhs_dilation'])


def _product(equation):
    (contracted, _), _ = equation.params['dimension_numbers']
    shape = equation.invars[0].aval.shape
    return 2 * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)


def _is_variable(var):
    return not hasattr(var, 'val')  # constants stand among the variables


def _is_jaxpr(value):
    return hasattr(value, 'eqns') or hasattr(value, 'jaxpr')


def _bare(value):
    """The jaxpr of one that carries its constants."""
    return value.jaxpr if hasattr(value, 'jaxpr') else value
