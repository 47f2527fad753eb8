"""An ONNX graph while it is written: operators, and the arrays that they use. The package `onnx` is not needed here."""

import typing

import numpy as np

from stylegan_jax.errors import UserError

_LEAST_ROUNDED = 1024  # numbers in an array for which float16 is worth an operator more


class Node(typing.NamedTuple):
    """An operator and the names of the values that it reads and writes.

    Attributes:
      operator: its name in ONNX.
      inputs: names; '' for an optional one that is left out.
      outputs: names.
      attributes: {name: number, string or list of numbers}.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, typing.Any]


class Graph:
    """Collects operators in the order in which they are computed.

    Attributes:
      inputs: {name: shape}, all of float32; a word in a shape names a size that is free.
      nodes: list of Node.
      arrays: {name: array}, the constants.
    """

    def __init__(self, dtype: str = 'float32'):
        """Begins an empty graph.

        Args:
          dtype: of large arrays in the file. Those of 'float16' are converted to float32 by operators, which runtimes
            compute once, while they load the file.
        """
        self.inputs: dict[str, tuple[int | str, ...]] = {}
        self.nodes: list[Node] = []
        self.arrays: dict[str, np.ndarray] = {}
        self._dtype = dtype
        self._names: set[str] = set()

    def input(self, name: str, *shape: int | str) -> str:
        """Adds an input; returns its name."""
        self.inputs[name] = shape
        return self._named(name)

    def array(self, name: str, array: np.ndarray) -> str:
        """Adds a constant; returns the name of its value. A second array of the same name must be the same.

        Raises:
          UserError: a weight is beyond the range of float16.
        """
        if name in self._names:
            return name
        array = np.asarray(array, order='C')
        if self._dtype == 'float16' and array.dtype == np.float32 and array.size >= _LEAST_ROUNDED:
            if np.abs(array).max() > np.finfo(np.float16).max:
                raise UserError(f'{name} has weights beyond its range', field='dtype', value='float16')
            stored = self._named(f'{name}/float16')
            self.arrays[stored] = array.astype(np.float16)
            return self.node('Cast', stored, name=name, to='float32')
        self.arrays[self._named(name)] = array
        return name

    def node(self, operator: str, *inputs: str, name: str, **attributes: typing.Any) -> str:
        """Adds an operator with one result, the value `name`; returns the name."""
        return self.node_with_results(operator, *inputs, names=(name,), **attributes)[0]

    def node_with_results(
        self, operator: str, *inputs: str, names: tuple[str, ...], **attributes: typing.Any
    ) -> tuple[str, ...]:
        """Adds an operator with several results, the values `names`; returns the names."""
        self.nodes.append(Node(operator, inputs, tuple(map(self._named, names)), attributes))
        return names

    def _named(self, name):
        assert name not in self._names, f'two values have the name {name}'
        self._names.add(name)
        return name
