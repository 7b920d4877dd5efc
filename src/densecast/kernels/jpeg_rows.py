"""Rewrites the entropy-coded data of a sequential JPEG so that each row of blocks can be decoded by itself.

A JPEG is one stream of bits, in which a block's mean is written as the difference from the block before. Here the bits
of all other coefficients are copied, and means are written anew, from zero at the start of each row: a row then is what
ITU-T T.81 calls a restart interval. No coefficient changes.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from densecast.kernels.jpeg_bits import (
    BAD_CODE,
    BAD_RESTART,
    BAD_VALUE,
    CUT,
    EARLY_MARKER,
    MOST_DC_BITS,
    WHOLE,
    end_of_part,
    refilled,
)

# A state beside those of a scan: the output is full.
NO_ROOM = BAD_VALUE + 1
# Bits of every code of a mean's size: twelve sizes, so that four bits are enough and none are all ones.
MEAN_BITS = 4
# The most that a block can take: 64 values of 16 + 15 bits, each byte followed by a zero.
_BLOCK_BYTES = 512


@nb.njit(cache=True, nogil=True, inline="always")
def _flushed(out, at, register, have):  # type: ignore[no-untyped-def]
    """Write whole bytes of the register's `have` bits, each 255 followed by a zero; returns place and bits left."""
    while have >= 8:
        have -= 8
        byte = (register >> np.uint64(have)) & np.uint64(255)
        out[at] = byte
        at += 1
        if byte == np.uint64(255):
            out[at] = 0
            at += 1
    return at, have


@nb.njit(cache=True, nogil=True)
def rewrite(data, reader, means, mcus, restart, units, dc_tables, ac_tables, out):  # type: ignore[no-untyped-def]
    """Write the next `mcus` units of the scan to `out` (bytes); returns a state (`jpeg_bits`) and the number of bytes.

    `reader` (7,) int64 holds the place in `data` between calls, its last number that of the units so far; `means` (n,)
    int64 those of the components' last blocks. `units` (n, 2) are the component and tables index of each block.
    The registers are local: this is all the time that reading takes.
    """
    written = np.zeros(means.size, np.int64)
    pos, count, bits, padding = np.uint64(reader[0]), reader[1], np.uint64(reader[2]), reader[3]
    size, one, low = np.uint64(data.size), np.uint64(1), np.uint64(0xFFFF)
    register, have, at = np.uint64(0), np.int64(0), np.int64(0)
    restart, parts, done = np.int64(restart), np.uint64(units.shape[0]), reader[6]
    for _ in range(mcus):
        if restart and done and done % restart == 0:
            reader[0], reader[1], reader[2], reader[3] = np.int64(pos), count, 0, padding
            end_of_part(data, reader)
            mark = reader[0]
            if reader[4] or not (mark + 1 < data.size and data[mark + 1] == 0xD0 + (done // restart - 1) % 8):
                return BAD_RESTART, at
            pos, count, bits, padding = np.uint64(mark + 2), np.int64(0), np.uint64(0), np.int64(0)
            means[:] = 0
        for unit in range(parts):
            if at + _BLOCK_BYTES > out.size:
                return NO_ROOM, at
            component, tables = units[unit, 0], np.uint64(units[unit, 1])
            k = np.int64(0)
            while k < 64:
                if count < 32:
                    pos, count, bits, padding = refilled(data, size, pos, count, bits, padding)
                window = (bits >> np.uint64(count - 16)) & low
                if k:
                    entry = np.int64(ac_tables[tables, window])
                    if entry == 0:
                        return BAD_CODE, at
                    category = entry & 15
                    taken = (entry >> 8) + category
                    count -= taken
                    copied = (bits >> np.uint64(count)) & ((one << np.uint64(taken)) - one)
                    register = (register << np.uint64(taken)) | copied
                    have += taken
                    if have >= 32:
                        at, have = _flushed(out, at, register, have)
                    if category:
                        k += ((entry >> 4) & 15) + 1
                    elif entry & 0xF0 == 0xF0:
                        k += 16
                    else:
                        break
                    continue
                entry = np.int64(dc_tables[tables, window])
                length, category = entry >> 8, entry & 255
                if entry == 0 or category > MOST_DC_BITS:
                    return BAD_CODE, at
                count -= length + category
                if category:
                    value = np.int64((bits >> np.uint64(count)) & np.uint64((1 << category) - 1))
                    if value < (1 << (category - 1)):
                        value -= (1 << category) - 1
                    means[component] += value
                difference = means[component] - written[component]
                written[component] = means[component]
                category = np.int64(0)
                while abs(difference) >> category:
                    category += 1
                if category > MOST_DC_BITS:
                    return BAD_CODE, at
                if difference < 0:
                    difference += (1 << category) - 1
                register = (register << np.uint64(MEAN_BITS)) | np.uint64(category)
                register = (register << np.uint64(category)) | np.uint64(difference)
                have += MEAN_BITS + category
                if have >= 32:
                    at, have = _flushed(out, at, register, have)
                k = np.int64(1)
            if k > 64:
                return BAD_CODE, at
        # Zeros from behind the end were read.
        if count < padding:
            return (CUT if pos >= size else EARLY_MARKER), at
        done += 1
    if have % 8:
        left = 8 - have % 8
        register = (register << np.uint64(left)) | ((one << np.uint64(left)) - one)
        have += left
    at, have = _flushed(out, at, register, have)
    reader[0], reader[1], reader[2], reader[3], reader[6] = np.int64(pos), count, np.int64(bits), padding, done
    return WHOLE, at


@nb.njit(cache=True, nogil=True)
def end(data, reader):  # type: ignore[no-untyped-def]
    """After the last unit: the place of the next marker, or -1 if data is left over before it."""
    end_of_part(data, reader)
    return np.int64(-1) if reader[4] else reader[0]
