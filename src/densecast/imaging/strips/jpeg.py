"""Reads sequential JPEG files some rows of blocks at a time, with the pixels that OpenCV gives of the whole file.

A row of blocks is rewritten as a restart interval (`kernels.jpeg_rows`), and a few of them, with the file's own tables
and the height that they have, are a small JPEG. Colours may be enlarged from blocks above and below, so one row more is
decoded on either side and left away. Progressive files, and others whose data does not go from top to bottom once, are
left to `strips.whole`.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast.errors import BadImageError
from densecast.imaging import jpeg_check, read
from densecast.imaging.strips import Pixels, Strips
from densecast.imaging.strips.png import exif_turns

_SEQUENTIAL = (0xC0, 0xC1)
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE
_TABLES, _SCAN, _RESTART, _QUANTISERS, _END = 0xC4, 0xDA, 0xDD, 0xDB, 0xD9
# Rows of pixels that are decoded at a time.
_ROWS = 256


@dataclass(frozen=True, slots=True)
class _Layout:
    """What stands before the pixels."""

    height: int
    width: int
    mcu_hw: tuple[int, int]
    begin: int
    restart: int
    units: npt.NDArray[np.int64]
    tables: tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]
    # Everything before the frame's height, and from behind it to the pixels.
    before: bytes
    after: bytes

    @property
    def mcus_hw(self) -> tuple[int, int]:
        return -(-self.height // self.mcu_hw[0]), -(-self.width // self.mcu_hw[1])


def open_jpeg(path: Path, *, use_exif: bool = False) -> Strips | None:
    """Open a JPEG file as (n, W, 3) RGB; None for one that is not read in rows: progressive, CMYK, turned, broken."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            layout = _layout(data, use_exif=use_exif)
        except (IndexError, ValueError, KeyError, ZeroDivisionError, struct.error):
            return None
    if layout is None:
        return None
    return Strips((layout.height, layout.width), _chunks(path, layout), is_many=read.has_more_pages(path))


def _layout(data: mmap.mmap, *, use_exif: bool) -> _Layout | None:
    coded: dict[int, bytes] = {}
    kept, frame, restart, pos = bytearray(b"\xff\xd8"), b"", 0, 2
    while True:
        while data[pos] == 0xFF and data[pos + 1] == 0xFF:
            pos += 1
        if data[pos] != 0xFF:
            return None
        marker, length = data[pos + 1], data[pos + 2] << 8 | data[pos + 3]
        segment, body = data[pos : pos + 2 + length], data[pos + 4 : pos + 2 + length]
        pos += 2 + length
        if marker in _SEQUENTIAL and not frame:
            frame = segment
        elif marker == _TABLES:
            jpeg_check.read_tables(body, coded)
        elif marker == _RESTART:
            restart = body[0] << 8 | body[1]
        elif marker in (_JFIF, _ADOBE, _QUANTISERS):
            kept += segment
        elif marker == _EXIF and use_exif and body.startswith(b"Exif\0\0") and exif_turns(body):
            return None
        elif marker == _SCAN:
            return _whole_layout(bytes(kept), frame, segment, coded, restart, pos) if frame else None
        elif marker in (0xC2, *range(0xC5, 0xD0)):
            return None


def _whole_layout(
    kept: bytes, frame: bytes, scan: bytes, coded: dict[int, bytes], restart: int, begin: int
) -> _Layout | None:
    bits, height, width, count = struct.unpack(">BHHB", frame[4:10])
    parts = [frame[10 + 3 * index : 13 + 3 * index] for index in range(count)]
    if bits != 8 or not height or not width or count not in (1, 3) or scan[4] != count:
        return None
    across = [part[1] >> 4 for part in parts] if count > 1 else [1]
    down = [part[1] & 15 for part in parts] if count > 1 else [1]
    mcu_hw = 8 * max(down), 8 * max(across)
    columns = -(-width // mcu_hw[1])
    if columns > 65535:
        return None
    chosen = {scan[5 + 2 * index]: scan[6 + 2 * index] for index in range(count)}
    pairs, units = list[tuple[bytes, bytes]](), []
    for index, part in enumerate(parts):
        selected = chosen[part[0]]
        pair = coded[selected >> 4], coded[0x10 | selected & 15]
        if pair not in pairs:
            pairs.append(pair)
        units += [(index, pairs.index(pair))] * (across[index] * down[index])
    flat = bytes([0, 0, 0, 12, *[0] * 12, *range(12)])
    tables = b"".join(
        _segment(_TABLES, bytes([place]) + flat) for place in sorted({each >> 4 for each in chosen.values()})
    )
    tables += b"".join(_segment(_TABLES, bytes([place]) + text) for place, text in coded.items() if place & 0x10)
    means, others = zip(*pairs, strict=True)
    looked_up = jpeg_check.looked_up(means), jpeg_check.looked_up(others)
    after = frame[7:] + tables + _segment(_RESTART, columns.to_bytes(2, "big")) + scan
    all_units = np.asarray(units, np.int64)
    return _Layout(height, width, mcu_hw, begin, restart, all_units, looked_up, kept + frame[:5], after)


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def _chunks(path: Path, layout: _Layout) -> Generator[Pixels, None, None]:
    from densecast.kernels import jpeg_rows

    high = layout.mcu_hw[0]
    total = layout.mcus_hw[0]
    step = max(1, _ROWS // high)
    mapped = np.memmap(path, np.uint8, "r")
    reader, means = np.zeros(7, np.int64), np.zeros(4, np.int64)
    reader[0] = layout.begin
    rows: dict[int, bytes] = {}
    for first in range(0, total, step):
        last = min(first + step, total)
        begin, end = max(0, first - 1), min(last + 1, total)
        for row in range(max(rows, default=-1) + 1, end):
            rows[row] = _rewritten(mapped, reader, means, layout, str(path))
        if end == total and last == total:
            _check_end(mapped, jpeg_rows.end(mapped, reader), str(path))
        rows = {row: text for row, text in rows.items() if row >= begin}
        height = min(end * high, layout.height) - begin * high
        parts = [rows[row] + bytes([0xFF, 0xD0 + (row - begin) % 8]) for row in range(begin, end)]
        text = layout.before + height.to_bytes(2, "big") + layout.after + b"".join(parts)[:-2] + b"\xff\xd9"
        pixels = _decoded(text, (height, layout.width), str(path))
        skip = (first - begin) * high
        yield pixels[skip : skip + min(last * high, layout.height) - first * high]


def _rewritten(
    mapped: npt.NDArray[np.uint8],
    reader: npt.NDArray[np.int64],
    means: npt.NDArray[np.int64],
    layout: _Layout,
    where: str,
) -> bytes:
    """The next row of blocks as an interval of its own."""
    from densecast.kernels import jpeg_bits, jpeg_rows

    columns, room = layout.mcus_hw[1], 1 << 20
    while True:
        kept, kept_means = reader.copy(), means.copy()
        out = np.empty(room, np.uint8)
        state, size = jpeg_rows.rewrite(
            mapped, reader, means, columns, layout.restart, layout.units, *layout.tables, out
        )
        if state == jpeg_bits.WHOLE:
            return out[:size].tobytes()
        if state != jpeg_rows.NO_ROOM:
            raise _damaged(where, jpeg_check.damage(int(state)) or "it ends before its last pixel")
        reader[:], means[:], room = kept, kept_means, 4 * room


def _check_end(mapped: npt.NDArray[np.uint8], place: int, where: str) -> None:
    if place < 0 or bytes(mapped[place : place + 2]) != bytes([0xFF, _END]):
        what = "data without a place in the picture" if place < 0 else "it does not end where its pixels do"
        raise _damaged(where, what)


def _damaged(where: str, what: str) -> BadImageError:
    return BadImageError(f"{where}: the JPEG is damaged ({what}). Get it again from its source.")


def _decoded(text: bytes, size_hw: tuple[int, int], where: str) -> Pixels:
    import cv2

    image = cv2.imdecode(np.frombuffer(text, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None or image.shape[:2] != size_hw:
        raise BadImageError(f"{where}: the pixel data is damaged or cut off, or of a kind that is not read.")
    return np.asarray(image, np.uint8)
