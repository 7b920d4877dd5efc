"""Compiled loops over the values of a tensor: histograms, the values in a part of one, and the range to quantise.

`counted` gives what `numpy.histogram` gives, count by count, in a tenth of the time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Values at a time, for whose number loops are compiled. Few blocks of so few have a value so near an edge that its bin
# has to be looked up.
_BLOCK = 64
# Of a bin. The three roundings of a quotient are below 2048 * 4 * 2**-24 = 0.0005. An edge is rounded, too: where the
# ends are at most 8 times the width between them, by 8 * 2048 * 2**-24 = 0.001 at most.
_NEAR, _TIMES_WIDTH = 1 / 512, np.float32(8)
# A share of the values, by which the ends of a range move inwards in one step of the search.
_STEP = 1e-5


@njit(cache=True, nogil=True, error_model="numpy")
def counted(values: F32, edges: F32) -> Int64:
    """How many of the values (n,) lie between neighbours of the edges (bins + 1,), evenly spaced and ascending.

    Bins hold their lower edge, the last one both. No value may lie outside, and all are numbers.
    """
    bins = edges.size - 1
    # Neighbours count apart: a value that occurs again and again would wait for its own count each time.
    counts = np.zeros((4, bins), np.int32)
    first, second, third, fourth = counts[0], counts[1], counts[2], counts[3]
    places = np.empty(_BLOCK, np.int32)
    upper = edges[1:].copy()
    upper[bins - 1] = np.inf
    low, last = edges[0], np.int32(bins - 1)
    width = edges[bins] - low
    per_bin = np.float32(bins) / width
    # Where ends are much longer than what lies between, edges are rounded by more than what is near one: all are.
    near = np.float32(_NEAR) if max(abs(low), abs(edges[bins])) < _TIMES_WIDTH * width else np.float32(1)
    far = np.float32(1) - near
    whole_blocks = values.size // _BLOCK
    rest = np.full(_BLOCK, low)
    # Element by element, here and below: arrays assigned or summed as a whole take seconds to compile.
    for i in range(values.size - whole_blocks * _BLOCK):
        rest[i] = values[whole_blocks * _BLOCK + i]
    for number in range(whole_blocks + 1):
        block = values[number * _BLOCK : (number + 1) * _BLOCK] if number < whole_blocks else rest
        unsure = np.int32(0)
        for i in range(_BLOCK):
            value = block[i]
            place = (value - low) * per_bin
            whole = max(np.int32(0), min(np.int32(place), last))
            beyond = place - np.float32(whole)
            unsure |= (np.int32(beyond < near) | np.int32(beyond > far)) & np.int32(value != low)
            places[i] = whole
        if unsure:
            for i in range(_BLOCK):
                found = np.uint64(places[i])
                places[i] += np.int32(block[i] >= upper[found]) - np.int32(block[i] < edges[found])
        for i in range(_BLOCK // 4):
            first[np.uint64(places[4 * i])] += 1
            second[np.uint64(places[4 * i + 1])] += 1
            third[np.uint64(places[4 * i + 2])] += 1
            fourth[np.uint64(places[4 * i + 3])] += 1
    first[0] -= (whole_blocks + 1) * _BLOCK - values.size
    summed = np.empty(bins, np.int64)
    for bin_number in range(bins):
        summed[bin_number] = np.int64(first[bin_number]) + second[bin_number] + third[bin_number] + fourth[bin_number]
    return summed


@njit(cache=True, nogil=True)
def equal(values: F32, value: np.float32) -> int:
    """How many of the values (n,) are equal to one."""
    count = 0
    for start in range(0, values.size, _BLOCK):
        block = values[start : start + _BLOCK]
        in_block = np.int32(0)
        for i in range(block.size):
            in_block += np.int32(block[i] == value)
        count += int(in_block)
    return count


@njit(cache=True, nogil=True)
def within(values: F32, low: np.float32, high: np.float32, count: int) -> F32:
    """The `count` values that are at least `low` and below `high`, in their order."""
    found = np.empty(count, np.float32)
    place = 0
    for start in range(0, values.size, _BLOCK):
        block = values[start : start + _BLOCK]
        in_block = np.int32(0)
        for i in range(block.size):
            in_block += np.int32((block[i] >= low) & (block[i] < high))
        if in_block:
            for i in range(block.size):
                if low <= block[i] < high and place < count:
                    found[place] = block[i]
                    place += 1
    return found[:place]


@njit(cache=True, nogil=True, error_model="numpy")
def least_error_bins(histogram: F64, levels: int) -> tuple[int, int]:
    """The first and the last bin of the range whose quantisation to `levels` levels changes the values least.

    Ends move inwards by a share of all values at a time, the one in the emptier part first, until the mean squared
    error grows: the norm minimisation of torch's and NNCF's histogram observers, whose formula it follows.
    """
    bins = histogram.size
    sums = np.empty(bins, np.float64)
    total = 0.0
    for place in range(bins):
        total += histogram[place]
        sums[place] = total
    start, end = 0, bins - 1
    left, right = start, end
    low_share, high_share = 0.0, 1.0
    least = np.inf
    while low_share < high_share:
        left = max(left, start)
        right = min(right, end)
        while left < end and sums[left] < (low_share + _STEP) * total:
            left += 1
        while right > start and sums[right] > (high_share - _STEP) * total:
            right -= 1
        next_start, next_end = start, end
        if left - start > end - right:
            next_start, low_share = left, low_share + _STEP
        else:
            next_end, high_share = right, high_share - _STEP
        if next_start == start and next_end == end:
            continue
        error = _squared_error(histogram, next_start, next_end, levels)
        if error > least:
            break
        least, start, end = error, next_start, next_end
    return start, end


@njit(cache=True, nogil=True, error_model="numpy")
def _squared_error(histogram: F64, start: int, end: int, levels: int) -> float:
    """The summed squared error of quantising to `levels` levels between two bins, in bins' widths.

    Values are taken to lie evenly in their bin; those outside the range go to its outermost levels.
    """
    width = (end - start + 1) / levels
    half = width / 2
    whole = 2 * half**3 / 3
    error = 0.0
    for place in range(histogram.size):
        begin = float(place - start)
        first = min(max(np.floor(begin / width), 0.0), levels - 1.0)
        last = min(max(np.floor((begin + 1) / width), 0.0), levels - 1.0)
        from_centre = begin - (first + 0.5) * width
        to_centre = begin + 1 - (last + 0.5) * width
        spread = (half**3 - from_centre**3) / 3 + (last - first - 1) * whole + (to_centre**3 + half**3) / 3
        error += histogram[place] * spread
    return error
