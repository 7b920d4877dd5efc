"""Writes a plane of any size as a tiled, deflated TIFF, from top to bottom; BigTIFF where 4 GiB could be exceeded."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from densecast.imaging.tiff_tags import Values

Plane = npt.NDArray[np.uint8 | np.uint16]
TILE_PX = 256
_MAX_CLASSIC_BYTES = 3 << 30
_SHORT, _LONG, _BYTES, _DOUBLE, _LONG8 = 3, 4, 2, 12, 16
_LETTERS = {_SHORT: "H", _LONG: "I", _DOUBLE: "d", _LONG8: "Q"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION, _BANDS, _PLANAR, _SOFTWARE, _COLOURS = (
    256, 257, 258, 259, 262, 270, 277, 284, 305, 320,
)  # fmt: skip
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _FORMAT = 322, 323, 324, 325, 339
_DEFLATED, _GREY, _PALETTE, _UNSIGNED = 8, 1, 3, 1


class TiffWriter:
    """A file that is being written; `add` takes its rows in order.

    `palette` are up to 256 RGB colours, for planes of 8 bits. `tags` are further ones, such as a georeference's.
    """

    def __init__(
        self,
        path: Path,
        size_hw: tuple[int, int],
        dtype: npt.DTypeLike,
        *,
        palette: tuple[tuple[int, int, int], ...] = (),
        description: str = "",
        tags: dict[int, Values] | None = None,
    ) -> None:
        self._size_hw, self._dtype = size_hw, np.dtype(dtype)
        self._palette, self._description, self._tags = palette, description, tags or {}
        self._is_big = size_hw[0] * size_hw[1] * self._dtype.itemsize > _MAX_CLASSIC_BYTES
        self._band = np.zeros((TILE_PX, -(-size_hw[1] // TILE_PX) * TILE_PX), self._dtype)
        self._filled = self._done = 0
        self._offsets: list[int] = []
        self._counts: list[int] = []
        self._file = path.open("wb")
        self._file.write(
            struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if self._is_big else struct.pack("<2sHI", b"II", 42, 0)
        )

    def add(self, rows: Plane) -> None:
        """Take the next rows (n, W)."""
        begin = 0
        while begin < len(rows):
            count = min(TILE_PX - self._filled, len(rows) - begin)
            self._band[self._filled : self._filled + count, : self._size_hw[1]] = rows[begin : begin + count]
            self._filled, begin, self._done = self._filled + count, begin + count, self._done + count
            if self._filled == TILE_PX or self._done == self._size_hw[0]:
                self._write_band()

    def close(self) -> None:
        """Write the directory, if all rows have come, and close the file."""
        if not self._file.closed:
            if self._done == self._size_hw[0]:
                self._write_directory()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_band(self) -> None:
        for left in range(0, self._band.shape[1], TILE_PX):
            tile = np.ascontiguousarray(self._band[:, left : left + TILE_PX], dtype=self._dtype.newbyteorder("<"))
            packed = zlib.compress(tile.tobytes(), 6)
            self._offsets.append(self._file.tell())
            self._counts.append(len(packed))
            self._file.write(packed)
        self._band.fill(0)
        self._filled = 0

    def _write_directory(self) -> None:
        place = _LONG8 if self._is_big else _LONG
        entries: dict[int, tuple[int, Values]] = {
            _WIDTH: (_LONG, (self._size_hw[1],)),
            _HEIGHT: (_LONG, (self._size_hw[0],)),
            _BITS: (_SHORT, (8 * self._dtype.itemsize,)),
            _COMPRESSION: (_SHORT, (_DEFLATED,)),
            _PHOTOMETRIC: (_SHORT, (_PALETTE if self._palette else _GREY,)),
            _BANDS: (_SHORT, (1,)),
            _PLANAR: (_SHORT, (1,)),
            _SOFTWARE: (_BYTES, b"densecast\0"),
            _TILE_WIDTH: (_SHORT, (TILE_PX,)),
            _TILE_HEIGHT: (_SHORT, (TILE_PX,)),
            _TILE_OFFSETS: (place, tuple(self._offsets)),
            _TILE_COUNTS: (place, tuple(self._counts)),
            _FORMAT: (_SHORT, (_UNSIGNED,)),
        }
        if self._palette:
            columns = np.zeros((3, 256), np.int64)
            columns[:, : len(self._palette)] = np.asarray(self._palette).T * 257
            entries[_COLOURS] = (_SHORT, tuple(columns.ravel().tolist()))
        if self._description:
            entries[_DESCRIPTION] = (_BYTES, self._description.encode("ascii", "replace") + b"\0")
        for tag, value in self._tags.items():
            is_whole = not isinstance(value, bytes) and all(isinstance(each, int) for each in value)
            entries[tag] = (_BYTES if isinstance(value, bytes) else _SHORT if is_whole else _DOUBLE, value)
        self._file.write(b"\0" * (-self._file.tell() % 8))
        at = self._file.tell()
        self._file.write(self._directory(entries, at))
        self._file.seek(8 if self._is_big else 4)
        self._file.write(struct.pack("<Q" if self._is_big else "<I", at))

    def _directory(self, entries: dict[int, tuple[int, Values]], at: int) -> bytes:
        count_form, entry_form, offset_form = ("<Q", "<HHQ", "<Q") if self._is_big else ("<H", "<HHI", "<I")
        inline = struct.calcsize(offset_form)
        size = struct.calcsize(count_form) + len(entries) * (struct.calcsize(entry_form) + inline) + inline
        body, extra = struct.pack(count_form, len(entries)), b""
        for tag, (kind, value) in sorted(entries.items()):
            packed = value if isinstance(value, bytes) else struct.pack(f"<{len(value)}{_LETTERS[kind]}", *value)
            if len(packed) > inline:
                own = struct.pack(offset_form, at + size + len(extra))
                extra += packed + b"\0" * (-len(packed) % 8)
            else:
                own = packed.ljust(inline, b"\0")
            body += struct.pack(entry_form, tag, kind, len(value)) + own
        return body + struct.pack(offset_form, 0) + extra
