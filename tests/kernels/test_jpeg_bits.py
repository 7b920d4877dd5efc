"""The bits of a JPEG's data, four bytes at a time: a zero behind a 255 is none, and behind the end come zeros."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.kernels.jpeg_bits import refilled


@pytest.mark.parametrize(
    ("data", "bits", "pos", "padding"),
    [
        # Data, and more of it: the zero behind a 255 is passed over.
        ("12 34 56 78 9A", "12345678", 4, 0),
        ("12 34 56 78", "12345678", 4, 0),
        ("12 FF 00 56 78 9A", "12FF5678", 5, 0),
        ("12 34 56 FF 00", "123456FF", 5, 0),
        ("FF 00 FF 00 FF 00 FF 00 FF 00", "FFFFFFFF", 8, 0),
        # Behind the end, and from a marker on, zeros.
        ("", "00000000", 0, 32),
        ("12 34 56", "12345600", 3, 8),
        ("12 FF 00", "12FF0000", 3, 16),
        ("12 34 FF", "12340000", 2, 16),
        ("12 FF D0 34 56 78", "12000000", 1, 24),
        ("FF D9", "00000000", 0, 32),
        ("FF FF 00", "00000000", 0, 32),
    ],
)
def test_a_register_is_filled_with_the_next_four_bytes(data: str, bits: str, pos: int, padding: int) -> None:
    there = np.frombuffer(bytes.fromhex(data), np.uint8)
    zero = np.uint64(0)
    filled = refilled.py_func(there, np.uint64(there.size), zero, np.int64(0), zero, np.int64(0))
    assert [int(each) for each in filled] == [pos, 32, int(bits, 16), padding]


@pytest.mark.parametrize(("count", "read"), [(1, 4), (8, 3), (24, 1), (31, 1)])
def test_bits_that_are_there_stay_above_those_that_are_read(count: int, read: int) -> None:
    for data in ("12 34 56 78", "12 34 56 78 9A BC"):
        there = np.frombuffer(bytes.fromhex(data), np.uint8)
        held = np.uint64((1 << count) - 1)
        found = refilled.py_func(there, np.uint64(there.size), np.uint64(0), np.int64(count), held, np.int64(0))
        pos, filled, bits, padding = (int(each) for each in found)
        read = 4 if len(there) > 4 else read
        assert (pos, filled, padding) == (read, count + 8 * read, 0)
        assert bits == int(held) << 8 * read | int.from_bytes(there[:read].tobytes(), "big")
