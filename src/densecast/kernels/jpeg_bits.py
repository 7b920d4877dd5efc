"""Reads the bits of a JPEG scan's entropy-coded data, to the marker behind it; and the states in which a scan ends.

ITU-T T.81, annex F: Huffman codes from the highest bit down, a zero behind each 255 that is no marker.
"""

from __future__ import annotations

import numba as nb
import numpy as np

WHOLE, CUT, BAD_CODE, EARLY_MARKER, LEFT_OVER, BAD_RESTART, BAD_VALUE = range(7)
# What a tolerant decoder passes over: some encoders write a byte or two more than there is to say.
SLACK_BYTES = 4
# T.81, table F.1: differences of means of samples of 8 bits.
MOST_DC_BITS = 11


@nb.njit(cache=True, nogil=True)
def _refilled_by_bytes(data, size, pos, count, bits, padding):  # type: ignore[no-untyped-def]
    """`refilled` where the next four bytes are not all plain data."""
    one, two, eight = np.uint64(1), np.uint64(2), np.uint64(8)
    while count < 32:
        byte = np.uint64(0)
        if pos >= size:
            padding += 8
        else:
            byte = np.uint64(data[pos])
            if byte != np.uint64(255):
                pos += one
            elif pos + one < size and data[pos + one] == 0:
                pos += two
            else:
                byte = np.uint64(0)
                padding += 8
        bits = (bits << eight) | byte
        count += 8
    return pos, count, bits, padding


@nb.njit(cache=True, nogil=True, inline="always")
def refilled(data, size, pos, count, bits, padding):  # type: ignore[no-untyped-def]
    """Read on from `pos` until the register `bits` holds 32 bits or more, `count` in all; returns these four anew.

    A 255 is followed by a zero that is no data. Behind a marker or the end zeros are read, which `padding` counts.
    Everything is passed by value, so that a caller's registers stay in the CPU's: this is all the time of a scan.
    """
    one, two, three, four, eight = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4), np.uint64(8)
    if pos + four < size and (
        (data[pos] != 255) & (data[pos + one] != 255) & (data[pos + two] != 255) & (data[pos + three] != 255)
    ):
        word = (np.uint64(data[pos]) << eight) | np.uint64(data[pos + one])
        word = (word << eight) | np.uint64(data[pos + two])
        bits = (bits << np.uint64(32)) | (word << eight) | np.uint64(data[pos + three])
        pos += four
        count += 32
    else:
        pos, count, bits, padding = _refilled_by_bytes(data, size, pos, count, bits, padding)
    return pos, count, bits, padding


@nb.njit(cache=True, nogil=True)
def end_of_part(data, reader):  # type: ignore[no-untyped-def]
    """After the last block before a marker: step to that marker; what is left over beyond the slack is damage."""
    left = (reader[1] - reader[3]) // 8
    pos = reader[0]
    while pos < data.size and not (data[pos] == 0xFF and pos + 1 < data.size and data[pos + 1] != 0):
        # A 255 and its zero are one byte of data.
        pos += 2 if data[pos] == 0xFF else 1
        left += 1
    if left > SLACK_BYTES and reader[4] == WHOLE:
        reader[4] = LEFT_OVER
    while pos + 1 < data.size and data[pos + 1] == 0xFF:
        pos += 1
    reader[0], reader[1], reader[2], reader[3], reader[5] = pos, 0, 0, 0, 0
