"""Top k values of a map in the order of torch.topk on a CPU, including ties.

Values that differ have one order. Equal ones are common where a person is cut by the image's border, as
the outermost upsampled rows and columns are copies of each other, and grouping depends on who comes first. Torch
(checked with 2.13) calls `std::partial_sort` on (value, index) pairs when 64 k <= n, which with GNU's C++ library
keeps a binary heap of the first k, its smallest value on top: each later value that is larger than the top
replaces it, and the heap is sorted at the end. Equal values leave in an order that depends on the heap's
layout. This is the same heap, fed with the values that can change it only.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _sift(values, indices, size, hole, value, index):  # type: ignore[no-untyped-def]
    """Sift (value, index) into the heap, starting from the empty slot `hole`.

    The hole moves down to a leaf, always to the smaller child (the right one of equals), and the pair then moves
    up from there.
    """
    top = hole
    child = 2 * hole + 2
    while child < size:
        if values[child] > values[child - 1]:
            child -= 1
        values[hole] = values[child]
        indices[hole] = indices[child]
        hole = child
        child = 2 * hole + 2
    if child == size:
        values[hole] = values[child - 1]
        indices[hole] = indices[child - 1]
        hole = child - 1
    while hole > top:
        parent = (hole - 1) // 2
        if not values[parent] > value:
            break
        values[hole] = values[parent]
        indices[hole] = indices[parent]
        hole = parent
    values[hole] = value
    indices[hole] = index


@njit(cache=True, nogil=True)
def heapify(values, indices):  # type: ignore[no-untyped-def]
    """Make a heap of the first k pairs, in place."""
    size = len(values)
    for start in range((size - 2) // 2, -1, -1):
        _sift(values, indices, size, start, values[start], indices[start])


@njit(cache=True, nogil=True)
def offer(values, indices, value, index):  # type: ignore[no-untyped-def]
    """Replace the smallest pair of the heap by a later one, if that is larger."""
    if value > values[0]:
        _sift(values, indices, len(values), np.int64(0), value, index)


@njit(cache=True, nogil=True)
def sort_heap(values, indices):  # type: ignore[no-untyped-def]
    """Sort the heap into descending order, in place."""
    for last in range(len(values) - 1, 0, -1):
        value, index = values[last], indices[last]
        values[last], indices[last] = values[0], indices[0]
        _sift(values, indices, last, np.int64(0), value, index)


@njit(cache=True, nogil=True)
def insert_sorted(values, indices, count, value, index):  # type: ignore[no-untyped-def]
    """Insert into a list sorted by descending value, then ascending index; the last drops out. Returns the count."""
    size = len(values)
    if count == size:
        if value < values[size - 1] or (value == values[size - 1] and index > indices[size - 1]):
            return count
        count -= 1
    place = count
    while place > 0 and (values[place - 1] < value or (values[place - 1] == value and indices[place - 1] > index)):
        values[place] = values[place - 1]
        indices[place] = indices[place - 1]
        place -= 1
    values[place] = value
    indices[place] = index
    return count + 1


@njit(cache=True, nogil=True)
def sort_by_index(values, indices, count):  # type: ignore[no-untyped-def]
    """Sort the first `count` pairs by ascending index, in place; fast for few or nearly sorted pairs."""
    for end in range(1, count):
        value, index = values[end], indices[end]
        place = end
        while place > 0 and indices[place - 1] > index:
            values[place], indices[place] = values[place - 1], indices[place - 1]
            place -= 1
        values[place], indices[place] = value, index
