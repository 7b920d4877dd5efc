"""Reads the tags of a TIFF file's first picture, of classic TIFF and of BigTIFF, without reading the pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

from densecast.errors import BadImageError

Values = tuple[int | float, ...] | bytes
# A block of 16 KiB each of a picture of a terabyte.
_MAX_VALUES, _MAX_ENTRIES = 1 << 26, 4096
# Field types of TIFF 6.0 and BigTIFF: code to struct's letter; 2 and 7 are kept as bytes, 5 and 10 are two numbers.
_LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_BYTES, _PAIRS = (2, 7), {5: "I", 10: "i"}
_STARTS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}


@dataclass(frozen=True, slots=True)
class Tags:
    """The first directory's tags by number; `order` is "<" or ">". `next_at` is where the next directory lies, or 0."""

    values: dict[int, Values]
    order: str
    is_big: bool
    next_at: int

    def numbers(self, tag: int) -> tuple[int | float, ...]:
        """A tag's numbers; none if it is missing or text."""
        found = self.values.get(tag, ())
        return () if isinstance(found, bytes) else found

    def one(self, tag: int, default: int) -> int:
        """A tag's first number."""
        found = self.numbers(tag)
        return int(found[0]) if found else default

    def text(self, tag: int) -> str:
        """A tag's text, without the zero at its end."""
        found = self.values.get(tag, b"")
        return found.rstrip(b"\0").decode("ascii", "replace") if isinstance(found, bytes) else ""


def is_tiff(start: bytes) -> bool:
    """Whether a file's first four bytes are those of a TIFF."""
    return start[:4] in _STARTS


def read_tags(file: IO[bytes], where: str, at: int | None = None) -> Tags:
    """The tags of the first directory, or of the one `at` that offset.

    Raises:
        BadImageError: no TIFF, or its directory is damaged.
    """
    file.seek(0)
    start = file.read(16)
    if not is_tiff(start):
        raise BadImageError(f"{where}: no TIFF file.")
    order, is_big = _STARTS[start[:4]]
    try:
        if at is None:
            at = struct.unpack_from(order + ("Q" if is_big else "I"), start, 8 if is_big else 4)[0]
        return _directory(file, order, is_big, at)
    except (struct.error, ValueError, OverflowError, MemoryError, OSError) as error:
        raise BadImageError(f"{where}: the TIFF's directory is damaged ({error}).") from None


def _directory(file: IO[bytes], order: str, is_big: bool, at: int) -> Tags:
    count_form, entry_form, offset_form = ("Q", "HHQ", "Q") if is_big else ("H", "HHI", "I")
    inline = 8 if is_big else 4
    (count,) = _unpacked(file, order + count_form, at)
    if count > _MAX_ENTRIES:
        raise ValueError(f"{count} tags")
    size = struct.calcsize(order + entry_form) + inline
    begin = at + struct.calcsize(order + count_form)
    file.seek(begin)
    entries = file.read(size * count)
    values: dict[int, Values] = {}
    for entry in range(count):
        tag, kind, length = struct.unpack_from(order + entry_form, entries, entry * size)
        own = entries[(entry + 1) * size - inline : (entry + 1) * size]
        form = _form(kind, length, order)
        if form is None:
            continue
        if struct.calcsize(form) > inline:
            (offset,) = struct.unpack(order + offset_form, own)
            file.seek(offset)
            own = file.read(struct.calcsize(form))
        values[tag] = _value(kind, form, own)
    (next_at,) = _unpacked(file, order + offset_form, begin + size * count)
    return Tags(values, order, is_big, next_at)


def _form(kind: int, length: int, order: str) -> str | None:
    if length > _MAX_VALUES:
        raise ValueError(f"a tag of {length} values")
    if kind in _BYTES:
        return f"{order}{length}s"
    if kind in _PAIRS:
        return f"{order}{2 * length}{_PAIRS[kind]}"
    return f"{order}{length}{_LETTERS[kind]}" if kind in _LETTERS else None


def _value(kind: int, form: str, own: bytes) -> Values:
    found = struct.unpack_from(form, own)
    if kind in _BYTES:
        return bytes(found[0]) if found else b""
    if kind in _PAIRS:
        return tuple(top / bottom if bottom else 0.0 for top, bottom in zip(found[::2], found[1::2], strict=True))
    return tuple(found)


def _unpacked(file: IO[bytes], form: str, at: int) -> tuple[int, ...]:
    file.seek(at)
    return struct.unpack(form, file.read(struct.calcsize(form)))
