"""Values that are worth keeping, within a bound."""

import collections
import collections.abc
import threading
import typing

_K, _V = typing.TypeVar('_K', bound=collections.abc.Hashable), typing.TypeVar('_V')


class Recent(typing.Generic[_K, _V]):
    """Values by keys, of which those that were not used for longest are dropped; threads may share it."""

    def __init__(self, most: int, size: collections.abc.Callable[[_V], int] = lambda value: 1):
        """Begins empty.

        Args:
          most: bound on the sum of the sizes. The newest value stays even if it alone is larger.
          size: of a value; by itself each counts as one.
        """
        self._most, self._size, self._total = most, size, 0
        self._values: collections.OrderedDict[_K, _V] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def found(self, key: _K) -> _V | None:
        """Returns a value, which counts as used now; None where it is not kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def keep(self, key: _K, value: _V) -> _V:
        """Keeps a value in the place of that of the same key; returns it."""
        with self._lock:
            if key in self._values:
                self._total -= self._size(self._values.pop(key))
            self._values[key] = value
            self._total += self._size(value)
            while self._total > self._most and len(self._values) > 1:
                self._total -= self._size(self._values.popitem(last=False)[1])
        return value
