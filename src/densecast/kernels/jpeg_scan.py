"""Walks through the entropy-coded data of a JPEG scan without decoding pixels, to see whether it is whole.

ITU-T T.81: sequential scans (annex F) and progressive ones (annex G), Huffman coded. What a scan has to hold is known
from its header, so a hole or a cut shows as a code that does not exist, as a coefficient outside its block, as a marker
before the last block, or as data that is left over.
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


@nb.njit(cache=True, nogil=True)
def _fill(data, reader):  # type: ignore[no-untyped-def]
    """`refilled` of the registers of `scan`, which lie in an array."""
    pos, count, bits, padding = refilled(
        data, np.uint64(data.size), np.uint64(reader[0]), reader[1], np.uint64(reader[2]), reader[3]
    )
    reader[0], reader[1], reader[2], reader[3] = np.int64(pos), count, np.int64(bits), padding


@nb.njit(cache=True, nogil=True)
def _symbol(data, reader, table):  # type: ignore[no-untyped-def]
    """The next symbol; -1 if there is no such code. `table` maps 16 bits to length * 256 + symbol."""
    if reader[1] < 32:
        _fill(data, reader)
    entry = np.int64(table[(reader[2] >> (reader[1] - 16)) & 0xFFFF])
    if entry == 0:
        return np.int64(-1)
    reader[1] -= entry >> 8
    return entry & 255


@nb.njit(cache=True, nogil=True)
def _value(data, reader, size):  # type: ignore[no-untyped-def]
    """The next `size` bits, as a number."""
    if size == 0:
        return np.int64(0)
    if reader[1] < 32:
        _fill(data, reader)
    reader[1] -= size
    return (reader[2] >> reader[1]) & ((1 << size) - 1)


@nb.njit(cache=True, nogil=True)
def _difference(data, reader, size):  # type: ignore[no-untyped-def]
    """A signed difference of `size` bits."""
    value = _value(data, reader, size)
    return value - (1 << size) + 1 if size and value < (1 << (size - 1)) else value


@nb.njit(cache=True, nogil=True)
def _first_ac_block(data, reader, table, begin, end, seen):  # type: ignore[no-untyped-def]
    """The first pass over the AC coefficients of a block; `seen` (64,) are those that are not zero."""
    if reader[5] > 0:
        reader[5] -= 1
        return
    k = begin
    while k <= end:
        symbol = _symbol(data, reader, table)
        if symbol < 0:
            reader[4] = BAD_CODE
            return
        run, size = symbol >> 4, symbol & 15
        if size:
            k += run
            if k > end:
                reader[4] = BAD_CODE
                return
            _value(data, reader, size)
            seen[k] = 1
        elif run == 15:
            k += 15
        else:
            reader[5] = (1 << run) - 1 + _value(data, reader, run)
            return
        k += 1


@nb.njit(cache=True, nogil=True)
def _later_ac_block(data, reader, table, begin, end, seen):  # type: ignore[no-untyped-def]
    """A further pass: one more bit of those that are not zero, and new ones."""
    k = begin
    if reader[5] == 0:
        while k <= end:
            symbol = _symbol(data, reader, table)
            if symbol < 0 or (symbol & 15) > 1:
                reader[4] = BAD_CODE
                return
            run, size = symbol >> 4, symbol & 15
            if size:
                _value(data, reader, 1)
            elif run != 15:
                reader[5] = (1 << run) + _value(data, reader, run)
                break
            while k <= end:
                if seen[k]:
                    _value(data, reader, 1)
                elif run == 0:
                    break
                else:
                    run -= 1
                k += 1
            if size:
                if k > end:
                    reader[4] = BAD_CODE
                    return
                seen[k] = 1
            k += 1
    if reader[5] > 0:
        while k <= end:
            if seen[k]:
                _value(data, reader, 1)
            k += 1
        reader[5] -= 1


@nb.njit(cache=True, nogil=True)
def scan(data, start, mcus, restart, units, dc_tables, ac_tables, mode, band, seen, limits):  # type: ignore[no-untyped-def]
    """Walk through a progressive scan of `data` from `start`; returns a state and the place behind it.

    `units` (n, 2) are the component and tables index of each block of an MCU, `mode` 1 and 2 first and
    later DC, 3 and 4 first and later AC of the coefficients `band`. `seen` (blocks, 64) are nonzero coefficients of the
    component, for modes 3 and 4. `limits` are the largest DC values of the components.
    """
    reader = np.zeros(6, np.int64)
    reader[0] = start
    last = np.zeros(256, np.int64)
    for mcu in range(mcus):
        if restart and mcu and mcu % restart == 0:
            end_of_part(data, reader)
            pos = reader[0]
            if reader[4] == WHOLE and not (pos + 1 < data.size and data[pos + 1] == 0xD0 + (mcu // restart - 1) % 8):
                reader[4] = BAD_RESTART
            if reader[4]:
                return reader[4], reader[0]
            reader[0] = pos + 2
            last[:] = 0
        for unit in range(units.shape[0]):
            component, tables = units[unit, 0], units[unit, 1]
            if mode == 1:
                size = _symbol(data, reader, dc_tables[tables])
                if size < 0 or size > MOST_DC_BITS:
                    reader[4] = BAD_CODE
                else:
                    last[component] += _difference(data, reader, size)
                    if abs(last[component]) > limits[component]:
                        reader[4] = BAD_VALUE
            elif mode == 2:
                _value(data, reader, 1)
            elif mode == 3:
                _first_ac_block(data, reader, ac_tables[tables], band[0], band[1], seen[mcu])
            else:
                _later_ac_block(data, reader, ac_tables[tables], band[0], band[1], seen[mcu])
        # Zeros from behind the end were read.
        if reader[1] < reader[3]:
            reader[4] = CUT if reader[0] >= data.size else EARLY_MARKER
        if reader[4]:
            return reader[4], reader[0]
    if reader[5] > 0:
        return EARLY_MARKER, reader[0]
    end_of_part(data, reader)
    return reader[4], reader[0]


@nb.njit(cache=True, nogil=True)
def sequential(data, start, mcus, restart, units, dc_tables, ac_tables, limits):  # type: ignore[no-untyped-def]
    """Walk through a sequential scan as `scan` does. The registers are local: for most files this is all the time."""
    reader = np.zeros(6, np.int64)
    last = np.zeros(256, np.int64)
    pos, count, bits, padding = np.uint64(start), np.int64(0), np.uint64(0), np.int64(0)
    size = np.uint64(data.size)
    # The codes of up to 10 bits, nearly all that are met, from tables that stay in the first cache.
    ac_short = np.zeros((ac_tables.shape[0], 1024), np.uint16)
    for table in range(ac_tables.shape[0]):
        for begin in range(1024):
            if ac_tables[table, begin << 6] >> 8 <= 10:
                ac_short[table, begin] = ac_tables[table, begin << 6]
    low = np.uint64(0xFFFF)
    mcus, restart, parts = np.int64(mcus), np.int64(restart), np.uint64(units.shape[0])
    until = restart if restart else mcus + 1
    for mcu in range(mcus):
        if mcu == until:
            until += restart
            reader[0], reader[1], reader[3] = np.int64(pos), count, padding
            end_of_part(data, reader)
            if reader[4] == WHOLE and not (
                reader[0] + 1 < data.size and data[reader[0] + 1] == 0xD0 + (mcu // restart - 1) % 8
            ):
                reader[4] = BAD_RESTART
            if reader[4]:
                return reader[4], reader[0]
            pos, count, bits, padding = np.uint64(reader[0] + 2), np.int64(0), np.uint64(0), np.int64(0)
            last[:] = 0
        for unit in range(parts):
            component, tables = units[unit, 0], np.uint64(units[unit, 1])
            k = np.int64(0)
            while k < 64:
                if count < 32:
                    pos, count, bits, padding = refilled(data, size, pos, count, bits, padding)
                window = (bits >> np.uint64(count - 16)) & low
                if k:
                    entry = np.int64(ac_short[tables, window >> np.uint64(6)])
                    if entry == 0:
                        entry = np.int64(ac_tables[tables, window])
                        if entry == 0:
                            return BAD_CODE, np.int64(pos)
                    category = entry & 15
                    count -= (entry >> 8) + category
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
                    return BAD_CODE, np.int64(pos)
                count -= length + category
                if category:
                    value = np.int64((bits >> np.uint64(count)) & np.uint64((1 << category) - 1))
                    if value < (1 << (category - 1)):
                        value -= (1 << category) - 1
                    last[component] += value
                    if abs(last[component]) > limits[component]:
                        return BAD_VALUE, np.int64(pos)
                k = np.int64(1)
            if k > 64:
                return BAD_CODE, np.int64(pos)
        # Zeros from behind the end were read.
        if count < padding:
            return (CUT if pos >= size else EARLY_MARKER), np.int64(pos)
    reader[0], reader[1], reader[3] = np.int64(pos), count, padding
    end_of_part(data, reader)
    return reader[4], reader[0]
