"""Groups network inputs into batches, in reusable buffers.

A network's input of 1024 by 2048 pixels is 25 MB: fresh from the system, its first writing costs milliseconds of page
faults, so arrays are used again; and inputs that already lie side by side are a batch without a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec

_Key = tuple[tuple[int, ...], str]
Item = TypeVar("Item")


class Buffers:
    """Reusable arrays, handed out for one turn at a time; used by one thread at a time.

    It holds what the last turn used and no more, whatever sizes went before.
    """

    def __init__(self) -> None:
        self._free: dict[_Key, list[Array]] = {}
        self._used: list[Array] = []

    def turn(self) -> None:
        """Start a new turn: all arrays handed out so far may be reused."""
        self._free = {}
        for array in self._used:
            self._free.setdefault((array.shape, str(array.dtype)), []).append(array)
        self._used = []

    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """An uninitialised array that has not been handed out in this turn."""
        free = self._free.get((shape, str(np.dtype(dtype))))
        array: Array = free.pop() if free else np.empty(shape, dtype=dtype)
        self._used.append(array)
        return array


def grouped(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in order, `size` at a time; the last group may be smaller."""
    group: list[Item] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def batches(
    items: Sequence[Feeds], specs: Sequence[TensorSpec], listed: tuple[int, ...] | None, buffers: Buffers
) -> Iterator[tuple[list[int], Feeds]]:
    """Yield the indices of `items` that run together, and their batch, padded with zeros.

    An item holds one array (C, h, w) for each of `specs`, the network's inputs; the batch one of (N, C, h, w). `listed`
    are the batch sizes the network takes, ascending, or None for all within the first spec. Neighbouring rows of one
    larger array are their batch as they are; others are copied into one from `buffers`.
    """
    by_shape: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for index, item in enumerate(items):
        by_shape.setdefault(tuple(item[spec.name].shape for spec in specs), []).append(index)
    for indices in by_shape.values():
        for chosen, size in _split(indices, specs[0], listed):
            yield (
                chosen,
                {
                    spec.name: _joined([items[index][spec.name] for index in chosen], size, spec, buffers)
                    for spec in specs
                },
            )


def _joined(arrays: Sequence[Array], size: int, spec: TensorSpec, buffers: Buffers) -> Array:
    batch = neighbours(arrays)
    if batch is None or len(batch) != size:
        batch = buffers.empty((size, *arrays[0].shape), spec.dtype)
        for row, array in enumerate(arrays):
            batch[row] = array
        batch[len(arrays) :] = 0
    return batch


def _split(indices: list[int], spec: TensorSpec, listed: tuple[int, ...] | None) -> Iterator[tuple[list[int], int]]:
    """Split indices into runs that fit one inference, with the batch size of each."""
    if listed is None:
        most = spec.shape[0]
        lowest, largest = (most.min, most.max) if isinstance(most, Dim) else (most, most)
        for start in range(0, len(indices), largest):
            chunk = indices[start : start + largest]
            yield chunk, max(len(chunk), lowest)
        return
    rest = indices
    while rest:
        # The largest size that can be filled; when none can, the smallest, filled up with zeros.
        size = max((size for size in listed if size <= len(rest)), default=listed[0])
        yield rest[:size], size
        rest = rest[size:]


def neighbours(arrays: Sequence[Array]) -> Array | None:
    """One array whose rows are these arrays, in order and without a copy; None if they are not contiguous."""
    whole = arrays[0].base
    if not isinstance(whole, np.ndarray) or whole.ndim != arrays[0].ndim + 1 or not whole.flags.c_contiguous:
        return None
    if whole.shape[1:] != arrays[0].shape or whole.dtype != arrays[0].dtype:
        return None
    row, rest = divmod(_address(arrays[0]) - _address(whole), arrays[0].nbytes)
    if rest or row + len(arrays) > len(whole):
        return None
    rows: Array = whole[row : row + len(arrays)]
    same = all(
        array.base is whole and _address(array) == _address(own) and array.strides == own.strides
        for array, own in zip(arrays, rows, strict=True)
    )
    return rows if same else None


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
