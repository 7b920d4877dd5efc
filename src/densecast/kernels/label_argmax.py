"""Compiled loops that compute the labels of runs of target pixels: argmax over the classes that can win there.

A class is left out if its largest value in the area that the run reads stays below the smallest value of one
other class there, by more than rounding can change (`MARGIN`): interpolated values lie between the smallest
and the largest of the values read, up to rounding.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from densecast.kernels.float32 import exp_of_negative, fma
from densecast.kernels.label_uniform import MARGIN, TINY, Float32, Index, Indices, Int32, UInt32

# exp(-24) is 2**-34: 256 such classes do not change a float32 probability by half a unit in the last place; 65536
# classes below exp(-30) do not either.
_NEGLIGIBLE = np.float32(24.0)
_NEGLIGIBLE_OF_MANY = np.float32(30.0)

_LOWEST = np.float32(np.finfo(np.float32).min)
_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)


@njit(cache=True, nogil=True)
def negligible(channels: Index) -> np.float32:
    """How far below the best a class of so many does not count in a float32 probability."""
    return _NEGLIGIBLE if channels <= np.uintp(256) else _NEGLIGIBLE_OF_MANY


# Comparisons may assume numbers: every logit has been checked to be finite before.
@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def candidates(
    logits: Float32,
    rows: Indices,
    begin: Index,
    end: Index,
    slack: np.float32,
    lows: Float32,
    highs: Float32,
    classes: Indices,
) -> Index:
    """Which classes can win (or, by less than `slack`, matter) in columns `begin` to `end` of `rows`.

    Writes them to `classes` in ascending order and returns how many.
    """
    channels = np.uintp(logits.shape[0])
    floor = _LOWEST
    for channel in range(channels):
        low = high = logits[channel, rows[0], begin]
        for i in range(np.uintp(rows.size)):
            row = rows[i]
            for x in range(begin, end):
                value = logits[channel, row, x]
                low = value if value < low else low
                high = value if value > high else high
        lows[channel] = low
        highs[channel] = high
        floor = low if low > floor else floor
    count = np.uintp(0)
    for channel in range(channels):
        near = MARGIN * max(abs(floor), abs(highs[channel])) + TINY
        if not highs[channel] < floor - max(near, slack):
            classes[count] = channel
            count += np.uintp(1)
    return count


@njit(cache=True, nogil=True)
def blend_once(
    logits: Float32,
    row: Index,
    origin: Index,
    first: UInt32,
    second: UInt32,
    first_weight: Float32,
    second_weight: Float32,
    begin: Index,
    size: Index,
    classes: Indices,
    count: Index,
    blended: Float32,
    plane: Index,
) -> None:
    """Resize one row of `classes[:count]` to `size` target columns from `begin` on, into `blended[plane]`."""
    for i in range(count):
        channel = classes[i]
        for x in range(size):
            at = begin + x
            blended[plane, i, x] = fma(
                logits[channel, row, origin + first[at]],
                first_weight[at],
                logits[channel, row, origin + second[at]] * second_weight[at],
            )


@njit(cache=True, nogil=True)
def blend_twice(
    logits: Float32,
    upper_row: Index,
    lower_row: Index,
    upper_weight: np.float32,
    lower_weight: np.float32,
    origin: Index,
    first: UInt32,
    second: UInt32,
    first_weight: Float32,
    second_weight: Float32,
    late_first: UInt32,
    late_second: UInt32,
    late_first_weight: Float32,
    late_second_weight: Float32,
    begin: Index,
    size: Index,
    classes: Indices,
    count: Index,
    line: Float32,
    blended: Float32,
    plane: Index,
) -> None:
    """`blend_once` of a row that is itself resized: from two rows, by the taps first given.

    `line` holds one class of that row at a time.
    """
    near = np.uintp(late_first[begin])
    far = np.uintp(late_second[begin + size - np.uintp(1)]) + np.uintp(1)
    for i in range(count):
        channel = classes[i]
        for x in range(near, far):
            one = origin + first[x]
            two = origin + second[x]
            upper = fma(
                logits[channel, upper_row, one],
                first_weight[x],
                logits[channel, upper_row, two] * second_weight[x],
            )
            lower = fma(
                logits[channel, lower_row, one],
                first_weight[x],
                logits[channel, lower_row, two] * second_weight[x],
            )
            line[x] = fma(upper, upper_weight, lower * lower_weight)
        for x in range(size):
            at = begin + x
            blended[plane, i, x] = fma(
                line[late_first[at]], late_first_weight[at], line[late_second[at]] * late_second_weight[at]
            )


@njit(cache=True, nogil=True)
def argmax_run(
    blended: Float32,
    upper: Index,
    upper_weight: np.float32,
    lower_weight: np.float32,
    classes: Indices,
    count: Index,
    size: Index,
    best: Float32,
    label: Int32,
) -> None:
    """Argmax over the classes for one target row's run, interpolated between planes `upper` and `1 - upper`."""
    lower = np.uintp(1) - upper
    this = np.int32(classes[0])
    for x in range(size):
        best[x] = fma(blended[upper, 0, x], upper_weight, blended[lower, 0, x] * lower_weight)
        label[x] = this
    for i in range(np.uintp(1), count):
        this = np.int32(classes[i])
        for x in range(size):
            value = fma(blended[upper, i, x], upper_weight, blended[lower, i, x] * lower_weight)
            wins = value > best[x]
            label[x] = this if wins else label[x]
            best[x] = value if wins else best[x]


@njit(cache=True, nogil=True)
def winner_probability(
    blended: Float32,
    upper: Index,
    upper_weight: np.float32,
    lower_weight: np.float32,
    count: Index,
    size: Index,
    best: Float32,
    total: Float32,
) -> None:
    """Fill `total` with the softmax probability of the class whose value is `best`."""
    lower = np.uintp(1) - upper
    for x in range(size):
        total[x] = _ZERO
    for i in range(count):
        for x in range(size):
            value = fma(blended[upper, i, x], upper_weight, blended[lower, i, x] * lower_weight)
            total[x] += exp_of_negative(value - best[x])
    for x in range(size):
        total[x] = _ONE / total[x]
