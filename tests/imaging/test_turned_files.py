"""Pictures and masks that a tag turns, and what else a header says: by Pillow's own transposition and by bytes."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_specs
from made_images import picture, png_that_claims
from made_tiff import tiff
from PIL import Image, ImageOps

from densecast.errors import BadImageError
from densecast.imaging import header, read
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.tensor import TensorSpec

ORIENTATION = 0x0112


def model(channels: int, **rule: object) -> ModelSpec:
    spec = tiny_specs.segmentation()
    batch, _, *sides = spec.input.shape
    tensor = TensorSpec("image", "float32", (batch, channels, *sides))
    return replace(spec, inputs=(tensor,), preprocess=Preprocess(Native(), **rule))  # type: ignore[arg-type]


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8 as Pillow turns a picture with that tag."""
    stream, exif = io.BytesIO(), Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(stream, "PNG", exif=exif)
    return np.asarray(ImageOps.exif_transpose(Image.open(stream)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_pictures_are_turned_where_it_is_asked_for_and_else_as_stored(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    exif, pixels = Image.Exif(), picture((24, 32))
    exif[ORIENTATION] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read.read_image(path), pixels)
    np.testing.assert_array_equal(read.read_image(path, use_exif=True), upright(pixels, orientation))
    # The same through Pillow alone, for networks of values.
    for use_exif in (False, True):
        kept = read.read_for(path, model(3, value_range=(0.0, 255.0), use_exif=use_exif))
        np.testing.assert_array_equal(kept, upright(pixels, orientation if use_exif else 1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_are_turned_like_their_upper_bytes(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    upper = picture((24, 32))[:, :, 0]
    deep = upper.astype(np.uint16) * 256 + np.arange(32, dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(deep).save(tmp_path / "a.tif", exif=exif)
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(read.read_image(tmp_path / name)[:, :, 0], upper)
        turned = read.read_image(tmp_path / name, use_exif=True)
        np.testing.assert_array_equal(turned[:, :, 1], upright(upper, orientation))


def test_every_band_of_a_file_comes_in_its_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    four = rng.integers(0, 256, (24, 32, 4), dtype=np.uint8)
    spec = model(4, value_range=(0.0, 255.0))
    Image.fromarray(four).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read.read_for(tmp_path / "a.png", spec), four)
    Image.fromarray(four, "CMYK").save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.read_for(tmp_path / "a.tif", spec), four)
    deep = rng.integers(0, 1 << 16, (24, 32, 4), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep[:, :, [2, 1, 0, 3]])
    np.testing.assert_array_equal(read.read_for(tmp_path / "deep.png", spec), deep)
    np.testing.assert_array_equal(read.read_image(tmp_path / "deep.png"), (deep >> 8)[:, :, :3])
    # A palette is not a band: its colours are.
    coloured = Image.fromarray(four[:, :, :3]).convert("P")
    coloured.save(tmp_path / "p.png")
    kept = read.read_for(tmp_path / "p.png", model(3, value_range=(0.0, 255.0)))
    np.testing.assert_array_equal(kept, np.asarray(coloured.convert("RGB")))


def test_up_to_64_bands_are_read(tmp_path: Path) -> None:
    for bands in (64, 65):
        (tmp_path / f"{bands}.tif").write_bytes(tiff(np.zeros((3, 4, bands), np.uint8)))
    assert read.read_for(tmp_path / "64.tif", model(64)).shape == (3, 4, 64)
    with pytest.raises(BadImageError, match="65 bands; 1 to 64"):
        read.size_hw(tmp_path / "65.tif")


@pytest.mark.parametrize("white_is_zero", [False, True])
def test_grey_in_which_zero_is_white_is_turned_round(tmp_path: Path, white_is_zero: bool) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, (7, 9, 1), dtype=np.uint16)
    data = tiff(values)
    if white_is_zero:  # tag 262, of one 32-bit number: 1 becomes 0
        tag = b"\x06\x01\x04\x00\x01\x00\x00\x00"
        assert data.count(tag + b"\x01") == 1
        data = data.replace(tag + b"\x01", tag + b"\x00")
    (tmp_path / "a.tif").write_bytes(data)
    kept = read.read_for(tmp_path / "a.tif", model(3, value_range=(0, 65535)))[:, :, :1]
    np.testing.assert_array_equal(kept, 65535 - values if white_is_zero else values)


@pytest.mark.parametrize(
    ("text", "is_deep"),
    [
        (b"P2\n# 65535 is a remark\n2 2\n255\n1 2 3 4\n", False),
        (b"P2\n# 1 2\n2 2\n256\n1 2 3 4\n", True),
        (b"P3 1 1 300 5 6 7\n", True),
        (b"P5 2 2 255\n\1\2\3\4", False),
        (b"P6 1 1 65535\n\0\1\0\2\0\3", True),
        (b"P4 8 1\n\x55", False),
    ],
)
def test_the_depth_of_a_plain_picture_is_its_largest_value(text: bytes, is_deep: bool) -> None:
    assert header.facts(io.BytesIO(text), "a.pgm").is_deep == is_deep


def test_files_of_several_pictures_are_told_by_their_kind(tmp_path: Path) -> None:
    images = [Image.fromarray(picture((24, 32), seed)) for seed in (1, 2)]
    for name, many in (("a.gif", True), ("a.tif", True), ("a.webp", True), ("a.png", True), ("a.mpo", False)):
        images[0].save(tmp_path / name, save_all=True, append_images=images[1:])
        assert read.has_more_pages(tmp_path / name) == many, name
        images[0].save(tmp_path / f"one_{name}", **({"format": "MPO"} if name == "a.mpo" else {}))
        assert not read.has_more_pages(tmp_path / f"one_{name}")
    (tmp_path / "text").write_text("no picture")
    assert not read.has_more_pages(tmp_path / "text") and not read.has_more_pages(tmp_path / "absent.png")


def test_files_without_bytes_and_of_too_many_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(BadImageError, match="the file is empty"):
        read.read_image(tmp_path / "empty.png")
    path = tmp_path / "large.png"
    for size, is_read in ((1 << 30, True), ((1 << 30) + 1, False)):
        path.write_bytes(png_that_claims(12, 7))
        with path.open("r+b") as file:
            file.truncate(size)  # a hole: it takes no room
        if is_read:
            assert read.size_hw(path) == (7, 12)
        else:
            with pytest.raises(BadImageError, match="images up to 1024 MiB are read"):
                read.size_hw(path)
    with pytest.raises(BadImageError, match=r"https://host/a\.jpg: an address"):
        read.read_image("https://host/a.jpg")
    with pytest.raises(BadImageError, match="HEIC or AVIF"):
        header.facts(io.BytesIO(b"\0\0\0\x18ftypheic" + bytes(40)), "a.heic")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"iVBORw0KGgoAAAANSUhEUgAAAEAAAAAw", "a picture as base64"),
        (b"data:image/jpeg;base64,/9j/4AAQSkZJRg", "a picture as base64"),
        (b"\x89PNG\n\x1a\n" + bytes(40), "line ends were changed.*--data-binary"),
        (b"\n<!DOCTYPE html><html>", "a web page, SVG or XML"),
        (b"%PDF-1.7\n", "a PDF"),
        (bytes(128) + b"DICM", "a DICOM file.*pass arrays"),
        (b"\x5c\x01\0\0" + bytes(344), "a NIfTI file.*pass arrays"),
        (b"\x93NUMPY\x01\0", "an array of NumPy"),
        (b"v/1\x01", "an OpenEXR file.*Convert it"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 file.*Convert it"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(64), "a camera's raw file.*Convert it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"PK\x03\x04" + bytes(40), "unpack it"),
        (b"\x1f\x8b\x08" + bytes(40), "unpack it"),
        (b"hello" * 9, "not an image of a known format"),
        (b"", "empty|not an image"),
    ],
)
def test_what_is_no_image_is_called_what_it_is(data: bytes, told: str) -> None:
    with pytest.raises(BadImageError, match=f"x: .*{told}"):
        header.facts(io.BytesIO(data), "x")
