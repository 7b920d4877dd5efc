"""Tells when the ranges of a calibration have settled: when twice as many images have hardly moved them.

What a mean over images would still move is known from what it has moved since half as many: its error falls with the
square root of their number. Extremes over images grow for ever, in ever fewer images: where images come in an order
that means nothing, the next one goes beyond those of n others with a chance of 1/(n + 1), whatever their distribution.
The amount of work decides, never a clock, so that a build repeats itself on a busy machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from densecast.spec.options import CalibrationMethod
from densecast.spec.tensor import Array

Range = tuple[Array, Array]

_FEWEST = 16
# Shares of a range's width, zero included: the root of the mean square over all ranges, and the most of a single one.
_MOVED, _MOST_MOVED = 0.04, 0.2
# Images whose extremes are enough: of others fewer than one in so many goes beyond.
_EXTREMES_OF = 64


def rounds(total: int) -> Iterator[int]:
    """The numbers of images after which ranges are looked at: twice as many each time, at last all."""
    yield from itertools.takewhile(lambda count: count < total, (_FEWEST << place for place in itertools.count()))
    yield total


def are_enough(images: int, method: CalibrationMethod) -> bool:
    """Whether ranges by a method need no more images, whatever they have moved."""
    return method == "minmax" and images >= _EXTREMES_OF


def are_settled(before: Sequence[Range], now: Sequence[Range]) -> bool:
    """Whether ranges are nearly what they were: the least and the greatest values (each array of one shape) of each."""
    moved = np.concatenate([_moved(old, new) for old, new in zip(before, now, strict=True)] or [np.zeros(1)])
    return bool(np.sqrt(np.mean(np.square(moved))) <= _MOVED and moved.max() <= _MOST_MOVED)


def _moved(before: Range, now: Range) -> Array:
    """How far the farther end of each range (of all channels, flat) has moved, as a share of its width."""
    (old_low, old_high), (low, high) = (
        tuple(np.asarray(end, np.float64).ravel() for end in ends) for ends in (before, now)
    )
    # A quantiser represents zero, whatever the values.
    width = np.maximum(high, 0) - np.minimum(low, 0)
    farther = np.maximum(np.abs(low - old_low), np.abs(high - old_high))
    return np.asarray(np.divide(farther, width, out=np.zeros_like(width), where=width > 0))
