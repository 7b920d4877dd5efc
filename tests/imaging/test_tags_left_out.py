"""A TIFF that leaves out what goes without saying: one band, no compression, rows in one strip, no predictor."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from densecast.errors import BadImageError
from densecast.imaging.strips import tiff

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, BANDS, ROWS, COUNTS = (
    256,
    257,
    258,
    259,
    262,
    273,
    277,
    278,
    279,
)
SHORT, LONG = 3, 4
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)


def written(path: Path, **changed: int | None) -> Path:
    """A picture of 7 x 5 bytes with the tags that no file may leave out, and others."""
    data = PIXELS.tobytes()
    tags = {WIDTH: 7, HEIGHT: 5, BITS: 8, PHOTOMETRIC: 1, OFFSETS: 8, COUNTS: len(data)}
    named = {"compression": COMPRESSION, "rows": ROWS, "bands": BANDS, "height": HEIGHT, "width": WIDTH}
    tags |= {named[name]: value for name, value in changed.items() if value is not None}
    entries = b"".join(
        struct.pack("<HHII", tag, LONG if tag in (OFFSETS, COUNTS) else SHORT, 1, tags[tag]) for tag in sorted(tags)
    )
    padding = b"\0" * (len(data) % 2)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(data) + len(padding)) + data + padding + directory)
    return path


def read(path: Path) -> np.ndarray:
    with tiff.open_tiff(path) as strips:
        return np.concatenate(list(strips.chunks))


@pytest.mark.parametrize("changed", [{}, {"compression": 1}, {"rows": 5}, {"rows": 9}, {"bands": 1}])
def test_what_is_left_out_is_what_goes_without_saying(changed: dict[str, int], tmp_path: Path) -> None:
    with tiff.open_tiff(written(tmp_path / "a.tif", **changed)) as strips:
        assert strips.size_hw == (5, 7)
    found = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.reshape(5, 7, -1)[..., 0], PIXELS)


@pytest.mark.parametrize(
    "changed", [{"compression": 2}, {"height": 0}, {"width": 0}, {"bands": 0}, {"rows": 0}, {"height": 6}, {"rows": 2}]
)
def test_what_cannot_be_is_refused(changed: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(BadImageError):
        read(written(tmp_path / "a.tif", **changed))


@pytest.mark.parametrize("size_hw", [(1, 7), (5, 1), (1, 1)])
def test_a_picture_may_be_one_pixel_high_or_wide(size_hw: tuple[int, int], tmp_path: Path) -> None:
    height, width = size_hw
    written(tmp_path / "a.tif", height=height, width=width)
    with tiff.open_tiff(tmp_path / "a.tif") as strips:
        assert strips.size_hw == size_hw
        found = np.concatenate(list(strips.chunks)).reshape(-1)
    np.testing.assert_array_equal(found, PIXELS.reshape(-1)[: height * width])
