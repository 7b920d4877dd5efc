"""Arrays that are used again, turn after turn, instead of asking the system for fresh memory each time.

A network's input of 1024 by 2048 pixels is 25 MB: fresh from the system, its first writing costs milliseconds of page
faults.
"""

from __future__ import annotations

import numpy as np

from densecast.core.tensor import Array

_Key = tuple[tuple[int, ...], str]


class Buffers:
    """Gives out arrays for one turn at a time; it belongs to one thread at a time.

    It holds what the last turn used and no more, whatever sizes went before.
    """

    def __init__(self) -> None:
        self._free: dict[_Key, list[Array]] = {}
        self._used: list[Array] = []

    def turn(self) -> None:
        """All arrays given out so far may be given out again: nobody reads them any more."""
        self._free = {}
        for array in self._used:
            self._free.setdefault((array.shape, str(array.dtype)), []).append(array)
        self._used = []

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """An array of any contents, not given out in this turn before."""
        free = self._free.get((shape, str(np.dtype(dtype))))
        array: Array = free.pop() if free else np.empty(shape, dtype=dtype)
        self._used.append(array)
        return array
