"""Pictures and data sets made on the spot, and broken files of every kind."""

from __future__ import annotations

import functools
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Rgb = npt.NDArray[np.uint8]


def picture(size_hw: tuple[int, int], seed: int = 0) -> Rgb:
    """(H, W, 3): smooth colours with an edge through them, as photographs have and noise has not."""
    return _picture(*size_hw, seed).copy()


@functools.lru_cache(maxsize=128)
def _picture(height: int, width: int, seed: int) -> Rgb:
    rng = np.random.default_rng([seed, height, width])
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x * a + y * b + c) for a, b, c in rng.uniform(0.02, 0.3, (3, 3))]
    plane = np.stack(waves, axis=-1) * 60 + 128
    plane[x * rng.uniform(0.5, 1.5) > y] += 40
    return np.clip(plane + rng.normal(scale=4, size=plane.shape), 0, 255).astype(np.uint8)


def write_jpeg(path: Path, size_hw: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(size_hw, seed)).save(path, "JPEG", quality=90)
    return path


def write_mask(path: Path, mask: Rgb) -> Path:
    """(H, W) of 0 and 1 as Carvana's palette GIF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    indexed = Image.fromarray(mask).convert("P")
    indexed.putdata(mask.reshape(-1))
    indexed.putpalette([0, 0, 0, 255, 255, 255])
    indexed.save(path, "GIF", optimize=False)
    return path


def carvana(root: Path, count: int = 12, size_hw: tuple[int, int] = (48, 64)) -> Path:
    """A Carvana folder: images of one size, masks a bright disc each."""
    for index in range(count):
        name = f"{index:04x}_01"
        write_jpeg(root / "imgs" / f"{name}.jpg", size_hw, seed=index)
        y, x = np.mgrid[0 : size_hw[0], 0 : size_hw[1]]
        inside = (y - size_hw[0] / 2) ** 2 + (x - 20 - index) ** 2 < 12**2
        write_mask(root / "masks" / f"{name}_mask.gif", inside.astype(np.uint8))
    return root


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
