"""TIFF files of any number of bands and number type, written tag by tag."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def tiff(
    pixels: np.ndarray,
    *,
    planar: int = 1,
    deflate: bool = False,
    big: bool = False,
    tile: int = 0,
    photometric: int | None = None,
) -> bytes:
    """(H, W, bands) -> a TIFF, written tag by tag as TIFF 6.0 says; `photometric` is 1 or 2 unless it is given."""
    height, width, bands = pixels.shape
    order = ">" if big else "<"
    stored = pixels.astype(pixels.dtype.newbyteorder(order))
    planes = [stored] if planar == 1 else [stored[:, :, band : band + 1] for band in range(bands)]
    parts = []
    for plane in planes:
        if tile:
            padded = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)))
            for y in range(0, height, tile):
                parts += [padded[y : y + tile, x : x + tile].tobytes() for x in range(0, width, tile)]
        else:
            parts += [plane[y : y + 5].tobytes() for y in range(0, height, 5)]
    parts = [zlib.compress(part) if deflate else part for part in parts]
    offsets, at = [], 8
    for part in parts:
        offsets.append(at)
        at += len(part)
    tags = {256: [width], 257: [height], 258: [8 * pixels.itemsize] * bands, 259: [8 if deflate else 1]}
    tags |= {262: [(2 if bands in (3, 4) else 1) if photometric is None else photometric], 277: [bands], 284: [planar]}
    tags |= {339: [{"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]] * bands}
    tags |= {322: [tile], 323: [tile], 324: offsets, 325: [len(part) for part in parts]} if tile else {}
    tags |= {} if tile else {273: offsets, 278: [5], 279: [len(part) for part in parts]}
    entries, more = b"", b""
    for tag, values in sorted(tags.items()):
        raw = struct.pack(f"{order}{len(values)}I", *values)
        if len(raw) > 4:
            raw, more = struct.pack(f"{order}I", at + len(more)), more + raw
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + raw
    start = (b"MM\0*" if big else b"II*\0") + struct.pack(f"{order}I", at + len(more))
    return start + b"".join(parts) + more + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
