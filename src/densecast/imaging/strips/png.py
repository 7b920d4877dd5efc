"""Reads PNG files line by line: a PNG is one stream of lines, of which each predicts the next.

PNG specification, third edition (W3C), chapters 5 (chunks), 7 (lines) and 9 (filters).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from densecast.errors import BadImageError
from densecast.imaging.strips import MAX_STEP_BYTES, Pixels, Strips

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_SAMPLES = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_DEPTHS = {_GREY: (1, 2, 4, 8, 16), _RGB: (8, 16), _PALETTE: (1, 2, 4, 8), _GREY_ALPHA: (8, 16), _RGBA: (8, 16)}
_ORIENTATION = 0x0112
_BYTES_AT_ONCE = 8 << 20
_MAX_SMALL_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Header:
    height: int
    width: int
    depth: int
    colour: int
    is_interlaced: bool

    @property
    def line_bytes(self) -> int:
        """The bytes of a line, without its filter's number."""
        return (self.width * _SAMPLES[self.colour] * self.depth + 7) // 8

    @property
    def distance(self) -> int:
        """How many bytes the left neighbour is away."""
        return max(1, _SAMPLES[self.colour] * self.depth // 8)


class _Damage(Exception):
    """What is wrong with the file."""


def open_png(path: Path, *, use_exif: bool = False) -> Strips:
    """Open a PNG file.

    Raises:
        BadImageError: damaged, interlaced, or turned by its orientation tag.
    """
    where = str(path)
    with path.open("rb") as file:
        try:
            header, palette, is_turned = _before_pixels(file)
        except _Damage as damage:
            raise BadImageError(f"{where}: the PNG is damaged ({damage}).") from None
    if header.is_interlaced:
        raise BadImageError(
            f"{where}: an interlaced PNG has its lines in seven passes and cannot be read from top to bottom. Save it "
            "without interlacing."
        )
    if use_exif and is_turned:
        raise BadImageError(
            f"{where}: it is turned by its orientation tag, and rows are read as they are stored. Turn it upright "
            "first: vips autorot."
        )
    if header.line_bytes > MAX_STEP_BYTES:
        raise BadImageError(
            f"{where}: a line takes {header.line_bytes >> 20} MiB; up to {MAX_STEP_BYTES >> 20} are read."
        )
    return Strips((header.height, header.width), _chunks(path, header, palette, where))


def _before_pixels(file: IO[bytes]) -> tuple[_Header, Pixels | None, bool]:
    """The header, the palette as (256, 3), and whether the picture is turned."""
    file.seek(8)
    header, palette, is_turned = None, None, False
    for kind, size in _chunk_heads(file):
        if kind == b"IDAT":
            break
        if kind not in (b"IHDR", b"PLTE", b"eXIf") or size > _MAX_SMALL_CHUNK:
            file.seek(size + 4, 1)
            continue
        body = _checked_body(file, kind, size)
        if kind == b"IHDR":
            header = _header(body)
        elif kind == b"PLTE":
            colours = np.frombuffer(body[: len(body) // 3 * 3], np.uint8).reshape(-1, 3)[:256]
            # What has no colour is black, as libpng has it.
            palette = np.pad(colours, ((0, 256 - len(colours)), (0, 0)))
        else:
            is_turned = exif_turns(body)
    if header is None:
        raise _Damage("it has no header")
    if header.colour == _PALETTE and palette is None:
        raise _Damage("it has no palette")
    return header, palette, is_turned


def _header(body: bytes) -> _Header:
    if len(body) != 13:
        raise _Damage("its header is cut off")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
    if depth not in _DEPTHS.get(colour, ()) or not 0 < width < 1 << 31 or not 0 < height < 1 << 31:
        raise _Damage(f"{width}×{height} pixels of {depth} bits, colour type {colour}")
    return _Header(height, width, depth, colour, interlaced == 1)


def exif_turns(body: bytes) -> bool:
    """Whether EXIF data turns the picture; damaged data turns nothing."""
    from PIL import Image

    exif = Image.Exif()
    try:
        exif.load(body)
        return int(exif.get(_ORIENTATION, 1)) != 1
    except Exception:  # Pillow raises whatever the damage leads to
        return False


def _chunk_heads(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise _Damage("it ends before its pixels do")
        size, kind = struct.unpack(">I4s", head)
        yield kind, size
        if kind == b"IEND":
            return


def _checked_body(file: IO[bytes], kind: bytes, size: int) -> bytes:
    body, sum_ = file.read(size), file.read(4)
    if len(body) < size or len(sum_) < 4 or zlib.crc32(kind + body) != int.from_bytes(sum_, "big"):
        raise _Damage(f"chunk {kind.decode('latin-1')} is cut off or changed")
    return body


def _packed(file: IO[bytes]) -> Iterator[bytes]:
    """The bytes of all pixel chunks, in parts, each chunk checked against its sum."""
    file.seek(8)
    for kind, size in _chunk_heads(file):
        if kind == b"IEND":
            return
        if kind != b"IDAT":
            file.seek(size + 4, 1)
            continue
        left, sum_ = size, zlib.crc32(kind)
        while left:
            part = file.read(min(left, 1 << 20))
            if not part:
                raise _Damage("it ends before its pixels do")
            left, sum_ = left - len(part), zlib.crc32(part, sum_)
            yield part
        if file.read(4) != sum_.to_bytes(4, "big"):
            raise _Damage("its pixels are changed: a checksum differs")


def _lines(file: IO[bytes], header: _Header) -> Iterator[Pixels]:
    """(n, line bytes) of unfiltered lines, some at a time."""
    from densecast.kernels.png_filter import unfilter

    step = max(1, min(header.height, _BYTES_AT_ONCE // (header.line_bytes + 1)))
    above = np.zeros(header.line_bytes, np.uint8)
    packed, unpacker, done = _packed(file), zlib.decompressobj(), 0
    while done < header.height:
        count = min(step, header.height - done)
        block = _unpacked(packed, unpacker, count * (header.line_bytes + 1))
        lines = np.frombuffer(block, np.uint8).reshape(count, -1)
        if not unfilter(lines, above, header.distance):
            raise _Damage("a line has a filter that there is not")
        done += count
        yield lines[:, 1:]


def _unpacked(packed: Iterator[bytes], unpacker: zlib._Decompress, count: int) -> bytearray:
    block = bytearray()
    while len(block) < count:
        raw = unpacker.unconsumed_tail or next(packed, b"")
        part = b"" if unpacker.eof else unpacker.decompress(raw, count - len(block))
        if not part and (unpacker.eof or not raw):
            raise _Damage("it ends before its pixels do")
        block += part
    return block


def _chunks(path: Path, header: _Header, palette: Pixels | None, where: str) -> Generator[Pixels, None, None]:
    try:
        with path.open("rb") as file:
            for lines in _lines(file, header):
                yield _pixels(lines, header, palette)
    except (_Damage, zlib.error) as error:
        raise BadImageError(f"{where}: the pixel data is damaged or cut off ({error}).") from None


def _pixels(lines: Pixels, header: _Header, palette: Pixels | None) -> Pixels:
    """(n, line bytes) -> (n, W, bands) uint8 or uint16; palettes as RGB, and grey of fewer bits spread over 0..255."""
    count = len(lines)
    if header.depth == 16:
        return np.ascontiguousarray(lines).view(">u2").astype(np.uint16).reshape(count, header.width, -1)
    if header.depth < 8:
        per_byte = 8 // header.depth
        shifts = np.arange(per_byte - 1, -1, -1, dtype=np.uint8) * header.depth
        lines = (lines[:, :, None] >> shifts & ((1 << header.depth) - 1)).reshape(count, -1)[:, : header.width]
        if palette is None:
            lines = (lines * (255 // ((1 << header.depth) - 1))).astype(np.uint8)
    if palette is not None and header.colour == _PALETTE:
        return np.asarray(palette[lines])
    return lines.reshape(count, header.width, -1)
