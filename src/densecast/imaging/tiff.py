"""Reads TIFF files of any number of bands and of 8, 16 or 32 bits, which OpenCV and Pillow read up to four bands only.

Classic TIFF 6.0 in strips or tiles, bands interleaved or in planes, uncompressed or deflated.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadImageError

_MAX_ENTRIES = 512
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _ORIENTATION = 256, 257, 258, 259, 262, 273, 274
_BANDS, _ROWS, _COUNTS, _PLANAR, _PREDICTOR = 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _FORMAT = 322, 323, 324, 325, 339
_CODES = {1: "B", 3: "H", 4: "I"}
_UNCOMPRESSED, _DEFLATED = (1,), (8, 32946)


@dataclass(frozen=True, slots=True)
class Header:
    """The tags of the first picture that say how its pixels are stored; `dtype` in numpy's words, such as `<u2`."""

    tags: dict[int, tuple[int, ...]]
    order: str

    def one(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        return self.tags.get(tag, (default,))[0]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width as stored."""
        return self.one(_HEIGHT, 0), self.one(_WIDTH, 0)

    @property
    def bands(self) -> int:
        """Samples a pixel, alpha included."""
        return self.one(_BANDS, 1)

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        return max(self.tags.get(_BITS, (1,)))

    @property
    def orientation(self) -> int:
        """The orientation tag, 1 to 8."""
        return self.one(_ORIENTATION, 1)

    @property
    def are_bands(self) -> bool:
        """Whether samples are grey or colours as they are, in bytes; not indices, inks or differences of colour."""
        return self.dtype is not None and self.bits == 8 and self.one(_PHOTOMETRIC, 1) in (0, 1, 2)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The samples' number type; None if they have no common one."""
        formats, bits = set(self.tags.get(_FORMAT, (1,))), set(self.tags.get(_BITS, (1,)))
        kind = {1: "u", 2: "i", 3: "f"}.get(formats.pop()) if len(formats) == 1 else None
        if kind is None or len(bits) != 1 or (kind, size := bits.pop()) not in _TYPES:
            return None
        return np.dtype(f"{self.order}{kind}{size // 8}")


_TYPES = {("u", 8), ("u", 16), ("u", 32), ("i", 8), ("i", 16), ("i", 32), ("f", 32), ("f", 64)}


def header(data: bytes | mmap.mmap) -> Header | None:
    """The header of a TIFF file; None if it is none, or of a form that is not read here (BigTIFF)."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return None
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        tags = {}
        for entry in range(at + 2, at + 2 + 12 * min(count, _MAX_ENTRIES), 12):
            tag, kind, length = struct.unpack_from(f"{order}HHI", data, entry)
            if kind not in _CODES or length > len(data):
                continue
            form = f"{order}{length}{_CODES[kind]}"
            place = entry + 8 if struct.calcsize(form) <= 4 else struct.unpack_from(f"{order}I", data, entry + 8)[0]
            tags[tag] = struct.unpack_from(form, data, place)
    except struct.error:
        return None
    return Header({tag: values for tag, values in tags.items() if values}, order)


def read(data: bytes, found: Header, where: str) -> npt.NDArray[Any] | None:
    """The pixels of the first picture as (H, W, bands), in their own type; None if they are compressed in another way.

    Raises:
        BadImageError: damaged, or its samples are of a type that is not read.
    """
    if found.one(_COMPRESSION, 1) not in _UNCOMPRESSED + _DEFLATED or found.one(_PREDICTOR, 1) not in (1, 2):
        return None
    dtype = found.dtype
    if dtype is None:
        raise BadImageError(f"{where}: its samples are neither integers nor floats of 8, 16 or 32 bits.")
    try:
        pixels = _assembled(data, found, dtype)
    except (ValueError, zlib.error, IndexError, ZeroDivisionError, OverflowError, MemoryError) as error:
        raise BadImageError(f"{where}: the pixel data is damaged or cut off ({error}).") from None
    if found.one(_PHOTOMETRIC, 1) == 0 and dtype.kind == "u":
        pixels = np.iinfo(dtype).max - pixels
    return pixels.astype(dtype.newbyteorder("="), copy=False)


def _assembled(data: bytes, found: Header, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Put strips or tiles in their places."""
    height, width = found.size_hw
    is_tiled = _TILE_OFFSETS in found.tags
    rows = found.one(_TILE_HEIGHT, 0) if is_tiled else min(found.one(_ROWS, height), height)
    columns = found.one(_TILE_WIDTH, 0) if is_tiled else width
    offsets = found.tags[_TILE_OFFSETS if is_tiled else _OFFSETS] if is_tiled or _OFFSETS in found.tags else ()
    counts = found.tags.get(_TILE_COUNTS if is_tiled else _COUNTS, ())
    in_planes = found.one(_PLANAR, 1) == 2
    planes, depth = (found.bands, 1) if in_planes else (1, found.bands)
    across, down = -(-width // columns), -(-height // rows)
    if len(offsets) < planes * across * down or len(counts) < len(offsets):
        raise ValueError("parts are missing")
    pixels = np.empty((height, width, found.bands), dtype)
    for part in range(planes * across * down):
        plane, place = divmod(part, across * down)
        top, left = place // across * rows, place % across * columns
        own_rows = min(rows, height - top)  # of a tile the rest is padding
        wanted = own_rows * columns * depth * dtype.itemsize
        stored = data[offsets[part] : offsets[part] + counts[part]]
        if found.one(_COMPRESSION, 1) in _DEFLATED:
            stored = zlib.decompressobj().decompress(stored, wanted)
        if len(stored) < wanted:
            raise ValueError(f"part {part} has {len(stored)} of {wanted} bytes")
        block = np.frombuffer(stored, dtype, own_rows * columns * depth).reshape(own_rows, columns, depth)
        if found.one(_PREDICTOR, 1) == 2:
            block = np.add.accumulate(block, axis=1, dtype=dtype.newbyteorder("="))
        block = block[: height - top, : width - left]
        where = slice(plane, plane + 1) if in_planes else slice(None)
        pixels[top : top + block.shape[0], left : left + block.shape[1], where] = block
    return pixels
