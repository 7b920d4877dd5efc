"""Compiled loops that find target pixels whose label is known without interpolation: all pixels they read agree.

Every resize used here is a chain of `fma(a, w0, b * w1)` with weights >= 0, and rounding keeps order: if
class a is nowhere below class b among the low-resolution pixels that a target pixel reads, its interpolated
value is not below that of b either. So where the argmax of all of them is the same class a, no higher class can
win, as the first of equals does. A lower class b < a, strictly below a at every one of them, could still be
*rounded* onto the value of a and win the tie. The chain errs by less than 8 * 2**-24 of the weighted mean of
the magnitudes (two roundings per axis and resize), and so b stays below if it is below by more than `MARGIN`
of the magnitude at every pixel read. Pixels whose winner is closer than that to a lower class (`UNSURE`)
decide nothing.

Indices in these loops are unsigned, and arrays are not sliced in them: numba would test for negative indices,
which keeps loops from being vectorised, and count references to every slice, which took half of the time.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

Float32: TypeAlias = npt.NDArray[np.float32]
Int32: TypeAlias = npt.NDArray[np.int32]
UInt32: TypeAlias = npt.NDArray[np.uint32]
Indices: TypeAlias = npt.NDArray[np.uintp]
# np.uintp; numpy's stubs make a signed number of some sums of them, numba does not.
Index: TypeAlias = Any

# Twice the 16 * 2**-24 by which the difference of two interpolated values may err; TINY covers underflow.
MARGIN = np.float32(2.0**-19)
TINY = np.float32(2.0**-120)
UNSURE = np.int32(-1)
# Low-resolution rows that one target row can read: two resizes, two rows each.
ROWS_READ = 4
# Decided pixels between two runs, up to which one longer run is faster: a run has a fixed cost.
BRIDGE = np.uintp(8)

_LOWEST = np.float32(np.finfo(np.float32).min)
_MAGNITUDE_BITS = np.int32(0x7FFFFFFF)
_INFINITY_BITS = np.int32(0x7F800000)


@njit(cache=True, nogil=True)
def argmax_row(
    logits: Float32,
    bits: Int32,
    row: Index,
    begin: Index,
    size: Index,
    best: Float32,
    label: Int32,
    below: Float32,
) -> bool:
    """Argmax over the classes for `size` columns of one low-resolution row: `label`, with the largest logit `best`.

    `below` becomes the largest logit of the classes before the winner. Returns whether all logits read are
    finite.
    """
    for x in range(size):
        best[x] = logits[0, row, begin + x]
        label[x] = 0
        below[x] = _LOWEST
    channels = np.uintp(logits.shape[0])
    for channel in range(np.uintp(1), channels):
        this = np.int32(channel)
        for x in range(size):
            value = logits[channel, row, begin + x]
            wins = value > best[x]
            below[x] = best[x] if wins else below[x]
            label[x] = this if wins else label[x]
            best[x] = value if wins else best[x]
    largest = np.int32(0)
    for channel in range(channels):
        for x in range(size):
            largest = max(largest, np.int32(bits[channel, row, begin + x] & _MAGNITUDE_BITS))
    return bool(largest < _INFINITY_BITS)


@njit(cache=True, nogil=True)
def argmax_row_or_unsure(
    logits: Float32,
    bits: Int32,
    row: Index,
    begin: Index,
    best: Float32,
    labels: Int32,
    slot: Index,
    below: Float32,
) -> bool:
    """`argmax_row` into `labels[slot]`, with `UNSURE` where rounding could lift a lower class to a tie."""
    size = np.uintp(labels.shape[1])
    finite: bool = argmax_row(logits, bits, row, begin, size, best, labels[slot], below)
    for x in range(size):
        near = MARGIN * max(abs(best[x]), abs(below[x])) + TINY
        labels[slot, x] = labels[slot, x] if best[x] - below[x] > near else UNSURE
    return finite


@njit(cache=True, nogil=True)
def uniform_over_rows(labels: Int32, slots: Indices, uniform: Int32) -> None:
    """Per column, the label that all rows in `slots` have in common, else `UNSURE`."""
    for i in range(np.uintp(slots.size)):
        slot = slots[i]
        for x in range(np.uintp(uniform.size)):
            uniform[x] = labels[slot, x] if i == 0 or uniform[x] == labels[slot, x] else UNSURE


@njit(cache=True, nogil=True)
def uniform_over_cols(labels: Int32, first: UInt32, second: UInt32, uniform: Int32) -> None:
    """Per target column, the label that the two columns it reads have in common, else `UNSURE`."""
    for x in range(np.uintp(first.size)):
        one = labels[first[x]]
        uniform[x] = one if one == labels[second[x]] else UNSURE


@njit(cache=True, nogil=True)
def next_run(decided: Int32, begin: Index) -> tuple[Index, Index]:
    """Begin and end of the first run of undecided pixels from `begin` on; small gaps count as undecided."""
    width = np.uintp(decided.size)
    while begin < width and decided[begin] != UNSURE:
        begin += np.uintp(1)
    end = begin
    for x in range(begin, width):
        if decided[x] == UNSURE:
            end = x + np.uintp(1)
        elif x - end >= BRIDGE:
            break
    return begin, end
