"""A TIFF that is written: its colours span the whole range, and what was left half way is no picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from densecast.imaging import tiff_tags
from densecast.imaging.tiff_writer import TiffWriter

COLOURS = ((0, 128, 255), (255, 1, 254))


def test_colours_are_16_bits_of_which_the_largest_is_white(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "a.tif", (5, 7), np.uint8, palette=COLOURS) as target:
        target.add(np.ones((5, 7), np.uint8))
    with (tmp_path / "a.tif").open("rb") as file:
        table = np.asarray(tiff_tags.read_tags(file, "a.tif").numbers(320)).reshape(3, 256)
    # TIFF 6.0, section 5: 0 is black and 65535 full intensity, first all reds.
    np.testing.assert_array_equal(table[:, :2], np.rint(np.array(COLOURS).T * 65535 / 255))
    assert not table[:, 2:].any()


def test_a_file_that_lacks_rows_is_no_picture(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "a.tif", (300, 7), np.uint8) as target:
        target.add(np.zeros((299, 7), np.uint8))
    with pytest.raises(UnidentifiedImageError):
        Image.open(tmp_path / "a.tif")


@pytest.mark.parametrize("side", range(1, 9))
def test_the_directory_begins_at_an_even_place(side: int, tmp_path: Path) -> None:
    """TIFF 6.0, section 2: it "must begin on a word boundary"; the pictures before it are of any number of bytes."""
    with TiffWriter(tmp_path / "a.tif", (side, side), np.uint8) as target:
        target.add(np.random.default_rng(side).integers(0, 256, (side, side), dtype=np.uint8))
    content = (tmp_path / "a.tif").read_bytes()
    start = int.from_bytes(content[4:8], "little")
    assert content[:4] == b"II*\0" and start % 2 == 0
    count = int.from_bytes(content[start : start + 2], "little")
    tags = [int.from_bytes(content[at : at + 2], "little") for at in range(start + 2, start + 2 + 12 * count, 12)]
    assert tags == sorted(set(tags)) and {256, 257, 322, 323} <= set(tags)


def test_further_tags_are_bytes_short_numbers_or_doubles_by_what_they_hold(tmp_path: Path) -> None:
    # GeoTIFF 1.1: ModelPixelScale, ModelTiepoint, GeoKeyDirectory and GeoAsciiParams.
    tags = {
        33550: (0.5, 0.25, 0),
        33922: (0.0, 0.0, 0.0, 4e5, 5.5e6, 0.0),
        34735: (1, 1, 0, 65535),
        34737: b"WGS 84|\0",
    }
    with TiffWriter(tmp_path / "a.tif", (5, 7), np.uint8, tags=tags, description="a b") as target:
        target.add(np.ones((5, 7), np.uint8))
    with Image.open(tmp_path / "a.tif") as image:
        found = image.tag_v2  # type: ignore[attr-defined]
        assert [found[tag] for tag in (33550, 33922, 34735)] == [tags[33550], tags[33922], tags[34735]]
        assert {tag: found.tagtype[tag] for tag in tags} == {33550: 12, 33922: 12, 34735: 3, 34737: 2}
        assert found[34737] == "WGS 84|" and found[270] == "a b"
