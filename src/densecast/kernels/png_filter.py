"""Undoes the filters of PNG's scan lines, each of which predicts bytes from those to the left and above."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Bytes = npt.NDArray[np.uint8]


@njit(cache=True, nogil=True)
def unfilter(lines: Bytes, above: Bytes, distance: int) -> bool:
    """Undo the filters of `lines` (n, 1 + bytes), in place; the first byte of a line names its filter (0 to 4).

    `above` is the unfiltered line before the first, without that byte, and becomes the last of `lines`. A pixel's left
    neighbour is `distance` bytes away. Returns whether all filters are known. PNG specification, chapter 9.
    """
    width = lines.shape[1] - 1
    for y in range(lines.shape[0]):
        line = lines[y, 1:]
        method = lines[y, 0]
        if method > 4:
            return False
        for x in range(width):
            left = np.int64(line[x - distance]) if x >= distance else np.int64(0)
            up = np.int64(above[x])
            predicted = np.int64(0)
            if method == 1:
                predicted = left
            elif method == 2:
                predicted = up
            elif method == 3:
                predicted = (left + up) // 2
            elif method == 4:
                corner = np.int64(above[x - distance]) if x >= distance else np.int64(0)
                estimate = left + up - corner
                to_left, to_up, to_corner = abs(estimate - left), abs(estimate - up), abs(estimate - corner)
                if to_left <= to_up and to_left <= to_corner:
                    predicted = left
                elif to_up <= to_corner:
                    predicted = up
                else:
                    predicted = corner
            line[x] = np.uint8((np.int64(line[x]) + predicted) & 255)
        for x in range(width):  # assigned as a whole, it would take seconds to compile
            above[x] = line[x]
    return True
