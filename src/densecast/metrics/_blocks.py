"""Counts field by field: blocks of them, means over what is defined in each image, and values by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.metrics._base import CountBlock

Floats = npt.NDArray[np.float64]

_IMAGES = 4096


def blocks_of(counts: Iterable[Any], names: Sequence[str], images: int = _IMAGES) -> Iterator[CountBlock]:
    """Counts that come one after another -> blocks of so many with these fields; arrays of one shape become one."""
    waiting: list[Any] = []
    for count in counts:
        waiting.append(count)
        if len(waiting) == images:
            yield _block(waiting, names)
            waiting = []
    if waiting:
        yield _block(waiting, names)


def _block(counts: Sequence[Any], names: Sequence[str]) -> CountBlock:
    fields = {name: _together([getattr(count, name) for count in counts]) for name in names}
    return CountBlock([count.sample_id for count in counts], fields)


def _together(values: list[Any]) -> Any:
    if isinstance(values[0], np.ndarray):
        return np.stack(values)
    return np.array(values) if isinstance(values[0], (int, float)) else values


def row_means(values: Floats) -> Floats:
    """(N, C) -> (N,) the mean of each row's values that are not NaN, NaN for none.

    To the last digit what `np.mean` gives of each row's own values: rows of as many values are taken together, so that
    each is summed as an array of its own would be.
    """
    defined = ~np.isnan(values)
    numbers = defined.sum(axis=1)
    found = np.full(len(values), np.nan)
    for number in np.unique(numbers[numbers > 0]).tolist():
        rows = numbers == number
        found[rows] = np.ascontiguousarray(values[rows][defined[rows]].reshape(-1, number)).mean(axis=1)
    return found


class ValuesByImage:
    """Collects a value an image, of millions."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._values: list[Floats] = []

    def add(self, ids: Sequence[str], values: Floats, counted: npt.NDArray[np.bool_] | None = None) -> None:
        """Add some images, or those of them that are `counted`."""
        if counted is not None and not counted.all():
            ids = [each for each, is_counted in zip(ids, counted.tolist(), strict=True) if is_counted]
            values = values[counted]
        self._ids += ids
        self._values.append(values)

    def in_order(self) -> tuple[list[str], Floats]:
        """The images' ids, sorted, and the value of each."""
        order = sorted(range(len(self._ids)), key=self._ids.__getitem__)
        values = np.concatenate(self._values)[order] if order else np.zeros(0)
        return [self._ids[place] for place in order], values

    def by_id(self) -> dict[str, float]:
        """The values by id, in order."""
        ids, values = self.in_order()
        return dict(zip(ids, values.tolist(), strict=True))
