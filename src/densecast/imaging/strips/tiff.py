"""Reads TIFF files, classic and BigTIFF, in strips or tiles, a row of blocks at a time.

Uncompressed and deflated blocks are read here, of any number of bands and of 8 to 64 bits; other compressions of up to
four bands by Pillow or OpenCV, block by block.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from densecast.errors import BadImageError
from densecast.imaging import geotiff, tiff_tags
from densecast.imaging.strips import MAX_STEP_BYTES, Pixels, Strips, tiff_block
from densecast.imaging.tiff_tags import Tags

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _ORIENTATION = (
    254,
    256,
    257,
    258,
    259,
    262,
    273,
    274,
)
_BANDS, _ROWS, _COUNTS, _PLANAR, _PREDICTOR, _COLOURS = 277, 278, 279, 284, 317, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _FORMAT = 322, 323, 324, 325, 339
_WHITE_IS_ZERO, _PALETTE, _SEPARATED = 0, 3, 5
_NONE, _DEFLATED = 1, (8, 32946)
_KINDS = {1: "u", 2: "i", 3: "f"}
_BYTES_AT_ONCE = 16 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """How the pixels of a TIFF's first picture are stored, in blocks of `rows` and `columns`."""

    size_hw: tuple[int, int]
    bands: int
    dtype: np.dtype[Any]
    rows: int
    columns: int
    is_tiled: bool
    in_planes: bool
    compression: int
    predictor: int
    photometric: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def across(self) -> int:
        """How many blocks lie side by side."""
        return -(-self.size_hw[1] // self.columns)

    @property
    def depth(self) -> int:
        """The bands of a block."""
        return 1 if self.in_planes else self.bands

    @property
    def is_own(self) -> bool:
        """Whether blocks are read here."""
        return self.compression == _NONE or self.compression in _DEFLATED


def open_tiff(path: Path, *, use_exif: bool = False) -> Strips:
    """Open a TIFF file; its georeference and the tags it is made of come along.

    Raises:
        BadImageError: damaged, turned by its orientation tag, or stored in a way that is not read.
    """
    where = str(path)
    with path.open("rb") as file:
        tags = tiff_tags.read_tags(file, where)
        is_many = _has_more_pictures(file, tags, where)
    layout = _layout(tags, where, path.stat().st_size)
    if use_exif and tags.one(_ORIENTATION, 1) != 1:
        raise BadImageError(
            f"{where}: it is turned by its orientation tag, and rows are read as they are stored. Turn it upright "
            "first: vips autorot."
        )
    return Strips(
        layout.size_hw,
        _chunks(path, layout, tags, where),
        is_many=is_many,
        georeference=geotiff.of_tags(tags),
        tags=geotiff.kept(tags),
    )


def _has_more_pictures(file: IO[bytes], tags: Tags, where: str) -> bool:
    """Whether there is another picture than smaller copies of the first and its masks."""
    seen = 0
    while tags.next_at and seen < 64:
        tags, seen = tiff_tags.read_tags(file, where, tags.next_at), seen + 1
        if not tags.one(_SUBFILE, 0):
            return True
    return False


def _layout(tags: Tags, where: str, file_bytes: int) -> Layout:
    height, width, bands = tags.one(_HEIGHT, 0), tags.one(_WIDTH, 0), tags.one(_BANDS, 1)
    if height < 1 or width < 1 or bands < 1:
        raise BadImageError(f"{where}: {width}×{height} pixels of {bands} bands; a picture needs at least one.")
    is_tiled = _TILE_OFFSETS in tags.values
    layout = Layout(
        (height, width),
        bands,
        _dtype(tags, where),
        tags.one(_TILE_HEIGHT, 0) if is_tiled else min(tags.one(_ROWS, height), height),
        tags.one(_TILE_WIDTH, 0) if is_tiled else width,
        is_tiled,
        tags.one(_PLANAR, 1) == 2,
        tags.one(_COMPRESSION, 1),
        tags.one(_PREDICTOR, 1),
        tags.one(_PHOTOMETRIC, 1),
        tuple(int(each) for each in tags.numbers(_TILE_OFFSETS if is_tiled else _OFFSETS)),
        tuple(int(each) for each in tags.numbers(_TILE_COUNTS if is_tiled else _COUNTS)),
    )
    if layout.rows < 1 or layout.columns < 1:
        raise BadImageError(f"{where}: blocks of {layout.columns}×{layout.rows} pixels.")
    blocks = layout.across * -(-height // layout.rows) * (bands if layout.in_planes else 1)
    if len(layout.offsets) < blocks or len(layout.counts) < blocks or max(layout.counts) > file_bytes:
        raise BadImageError(f"{where}: the pixel data is damaged or cut off (blocks are missing).")
    if layout.photometric == _SEPARATED:
        raise BadImageError(f"{where}: its colours are CMYK. Convert it to RGB first: vips colourspace.")
    step = layout.columns * layout.across * bands * layout.dtype.itemsize * _step_rows(layout)
    if step > MAX_STEP_BYTES:
        raise BadImageError(
            f"{where}: a row of its blocks takes {step >> 20} MiB. Write it in smaller ones: "
            "gdal_translate -co TILED=YES."
        )
    return layout


def _dtype(tags: Tags, where: str) -> np.dtype[Any]:
    bits = {int(each) for each in tags.numbers(_BITS)} or {1}
    formats = {int(each) for each in tags.numbers(_FORMAT)} or {1}
    size, kind = bits.pop(), _KINDS.get(formats.pop())
    if bits or formats or kind is None or size not in (8, 16, 32, 64) or (kind, size) == ("f", 8):
        raise BadImageError(
            f"{where}: its samples are no integers or floats of 8 to 64 bits. Convert it: gdal_translate -ot Byte."
        )
    return np.dtype(f"{tags.order}{kind}{size // 8}")


def _step_rows(layout: Layout) -> int:
    """How many rows are read at a time: of strips that are read here, fewer than a whole one."""
    if layout.is_tiled or not layout.is_own:
        return layout.rows
    row_bytes = layout.columns * layout.depth * layout.dtype.itemsize
    return max(1, min(layout.rows, _BYTES_AT_ONCE // row_bytes))


def _chunks(path: Path, layout: Layout, tags: Tags, where: str) -> Generator[Pixels, None, None]:
    """The picture's rows, some at a time, in native byte order."""
    height, width = layout.size_hw
    colours = _colours(tags) if layout.photometric == _PALETTE else None
    planes = layout.bands if layout.in_planes else 1
    down = -(-height // layout.rows)
    with path.open("rb") as file:
        for block_row in range(down):
            top = block_row * layout.rows
            rows = layout.rows if layout.is_tiled else min(layout.rows, height - top)
            first = block_row * layout.across
            blocks = [
                [
                    _block_rows(path, file, layout, tags, plane * layout.across * down + first + column, rows, where)
                    for column in range(layout.across)
                ]
                for plane in range(planes)
            ]
            left = min(rows, height - top)
            while left:
                parts = [np.concatenate([next(each) for each in row], axis=1)[:, :width] for row in blocks]
                pixels = parts[0] if planes == 1 else np.concatenate(parts, axis=2)
                pixels = pixels[:left]
                left -= len(pixels)
                yield _finished(pixels, layout, colours)


def _finished(pixels: Pixels, layout: Layout, colours: Pixels | None) -> Pixels:
    pixels = pixels.astype(layout.dtype.newbyteorder("="), copy=False)
    if colours is not None:
        return np.asarray(colours[np.minimum(pixels[:, :, 0], len(colours) - 1)])
    if layout.photometric == _WHITE_IS_ZERO and layout.dtype.kind == "u":
        return np.asarray(np.iinfo(pixels.dtype).max - pixels)
    return pixels


def _colours(tags: Tags) -> Pixels:
    """(n, 3) uint8 of the palette's 16-bit columns, all reds first."""
    values = np.asarray(tags.numbers(_COLOURS), np.uint16)
    return np.asarray((values[: len(values) // 3 * 3].reshape(3, -1).T >> 8).astype(np.uint8))


def _block_rows(
    path: Path, file: IO[bytes], layout: Layout, tags: Tags, number: int, rows: int, where: str
) -> Iterator[Pixels]:
    """The rows of one block, (n, columns, depth), some at a time."""
    offset, count = layout.offsets[number], layout.counts[number]
    shape = (layout.columns, layout.depth)
    try:
        if not layout.is_own or layout.predictor not in (1, 2):
            file.seek(offset)
            yield tiff_block.decode(file.read(count), tags, (rows, layout.columns), layout.depth, layout.dtype)
            return
        row_bytes = layout.columns * layout.depth * layout.dtype.itemsize
        step = rows if layout.is_tiled else _step_rows(layout)
        stored = _Stored(file, offset, count, is_deflated=layout.compression in _DEFLATED)
        for begin in range(0, rows, step):
            wanted = min(step, rows - begin) * row_bytes
            block = np.frombuffer(stored.read(wanted), layout.dtype).reshape(-1, *shape)
            if layout.predictor == 2:
                block = np.add.accumulate(block, axis=1, dtype=layout.dtype.newbyteorder("="))
            yield block
    except (ValueError, zlib.error, MemoryError, OSError) as error:
        raise BadImageError(f"{where}: the pixel data is damaged or cut off ({error}).") from None


class _Stored:
    """The bytes of one block, unpacked as they are asked for."""

    def __init__(self, file: IO[bytes], offset: int, count: int, *, is_deflated: bool) -> None:
        self._file, self._at, self._left = file, offset, count
        self._unpacker = zlib.decompressobj() if is_deflated else None
        self._packed = b""

    def read(self, count: int) -> bytes:
        parts, have = [], 0
        while have < count:
            part = self._some(count - have)
            if not part:
                raise ValueError(f"{have} of {count} bytes")
            parts.append(part)
            have += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _some(self, most: int) -> bytes:
        if self._unpacker is None:
            return self._raw(most)
        while not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail or self._raw(1 << 20)
            part = self._unpacker.decompress(packed, most)
            if part or not packed:
                return part
        return b""

    def _raw(self, most: int) -> bytes:
        """Other blocks are read in between, so the place is kept here."""
        self._file.seek(self._at)
        part = self._file.read(min(most, self._left))
        self._at, self._left = self._at + len(part), self._left - len(part)
        return part
