"""Files of more than 8 bits and of many bands mean one thing in every format, or are refused with the cure."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_specs
from made_images import picture
from made_tiff import tiff
from PIL import Image

from densecast.errors import BadImageError
from densecast.imaging import pages, read
from densecast.imaging.strips import open_strips
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.tensor import TensorSpec


def model(channels: int, **rule: object) -> ModelSpec:
    spec = tiny_specs.segmentation()
    batch, _, *sides = spec.input.shape
    tensor = TensorSpec("image", "float32", (batch, channels, *sides))
    return replace(spec, inputs=(tensor,), preprocess=Preprocess(Native(), **rule))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "lzw.tif", "big.tif", "a.pgm"])
def test_grey_of_16_bits_is_its_upper_byte_in_every_format(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, (24, 32), dtype=np.uint16)
    path = tmp_path / name
    if name == "big.tif":
        path.write_bytes(tiff(values[:, :, None], big=True))
    elif name == "lzw.tif":
        Image.fromarray(values).save(path, compression="tiff_lzw")
    else:
        cv2.imwrite(str(path), values)
    wanted = np.repeat((values >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read.read_image(path), wanted)
    kept = read.read_for(path, model(3, value_range=(0, 65535)))
    np.testing.assert_array_equal(kept, np.repeat(values[:, :, None], 3, axis=2))
    assert read.size_hw(path) == (24, 32)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "own.tif", "a.ppm"])
def test_colours_of_16_bits_are_their_upper_bytes_in_every_format(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, (24, 32, 3), dtype=np.uint16)
    path = tmp_path / name
    if name == "own.tif":
        path.write_bytes(tiff(values, planar=2, deflate=True))
    else:
        cv2.imwrite(str(path), values[:, :, ::-1])
    np.testing.assert_array_equal(read.read_image(path), (values >> 8).astype(np.uint8))
    np.testing.assert_array_equal(read.read_for(path, model(3, value_range=(0, 4095))), values)


@pytest.mark.parametrize(
    ("largest", "white"),
    [(255, 255), (256, 1023), (4095, 4095), (4096, 10000), (16383, 16383), (16384, None), (40000, None)],
)
def test_values_that_fill_a_part_of_their_16_bits_are_remarked_once_a_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, largest: int, white: int | None
) -> None:
    values = np.linspace(0, largest, 24 * 32).astype(np.uint16).reshape(24, 32)
    for name in ("a.png", "b.tif"):
        cv2.imwrite(str(tmp_path / name), values)
        np.testing.assert_array_equal(read.read_image(tmp_path / name)[:, :, 0], values >> 8)
    told = [each.getMessage() for each in caplog.records]
    assert len(told) == (white is not None)
    assert all(f"a.png has 16 bits a value, and the largest is {largest}: " in each for each in told)
    assert all(f"value_range = [0, {white}]" in each for each in told)
    caplog.clear()
    read.read_for(tmp_path / "a.png", model(3, value_range=(0, 4095)))
    assert not caplog.records


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_16_bits_become_the_upper_8_whole_and_in_strips_and_grey_is_repeated_without_its_transparency(
    tmp_path: Path, bands: int
) -> None:
    values = np.arange(1 << 16, dtype=np.uint16)[:, None].repeat(bands, 1).reshape(256, 256, bands)
    values[:, :, 1:] ^= np.arange(1, bands, dtype=np.uint16) * 0x1234
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(values))
    expected = (values // 256)[:, :, [0, 0, 0] if bands < 3 else [0, 1, 2]]
    np.testing.assert_array_equal(read.read_image(path), expected)
    with open_strips(path, model(3)) as strips:
        np.testing.assert_array_equal(np.concatenate([strips.read(100) for _ in range(3)]), expected)


@pytest.mark.parametrize("dtype", ["int32", "float32", "uint32", "int16"])
def test_other_numbers_are_refused_with_the_cure_and_read_with_a_range(tmp_path: Path, dtype: str) -> None:
    values = (np.random.default_rng(0).random((24, 32)) * 1000).astype(dtype)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(values[:, :, None]))
    with pytest.raises(BadImageError, match=rf"a\.tif: its values are {dtype}.*value_range"):
        read.read_image(path)
    np.testing.assert_array_equal(read.read_for(path, model(1, value_range=(0, 1000)))[:, :, 0], values)


@pytest.mark.parametrize("bands", [2, 4, 5, 8, 13])
@pytest.mark.parametrize("form", [{}, {"planar": 2}, {"tile": 16, "deflate": True}, {"planar": 2, "big": True}])
def test_files_of_many_bands(tmp_path: Path, bands: int, form: dict[str, int]) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.tif"
    for dtype in ("uint8", "uint16", "float32"):
        values = (rng.random((21, 37, bands)) * 255).astype(dtype)
        if dtype == "uint8" and bands == 2:
            continue  # Pillow's kind of grey with transparency
        path.write_bytes(tiff(values, **form))  # type: ignore[arg-type]
        spec = model(bands, value_range=(0.0, 255.0))
        np.testing.assert_array_equal(read.read_for(path, spec), values)
        if dtype != "float32":
            shift = 8 if dtype == "uint16" else 0
            np.testing.assert_array_equal(read.read_for(path, model(bands)), (values >> shift).astype(np.uint8))
    with pytest.raises(BadImageError, match=f"{bands} bands, the network takes 6"):
        read.read_for(path, model(6, value_range=(0.0, 255.0)))
    if bands > 4:
        with pytest.raises(BadImageError, match=f"{bands} bands, a picture has one"):
            read.read_for(path, model(3, value_range=(0.0, 255.0)))


@pytest.mark.parametrize("bands", [3, 4])
@pytest.mark.parametrize("form", [{}, {"planar": 2, "deflate": True}])
def test_bands_of_8_bits_that_are_stored_as_grey_are_read(tmp_path: Path, bands: int, form: dict[str, int]) -> None:
    """As of satellites, with no word on which band is which colour: the first three are red, green, blue."""
    values = np.random.default_rng(0).integers(0, 256, (24, 32, bands), dtype=np.uint8)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(values, photometric=1, **form))
    np.testing.assert_array_equal(read.read_image(path), values[:, :, :3])
    np.testing.assert_array_equal(read.read_for(path, model(bands)), values)
    assert read.size_hw(path) == (24, 32)


def test_two_bands_are_no_picture_but_for_a_network_of_two(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (24, 32, 2), dtype=np.uint8)
    (tmp_path / "a.tif").write_bytes(tiff(values, photometric=1))
    with pytest.raises(BadImageError, match="2 bands, and none is transparency"):
        read.read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(read.read_for(tmp_path / "a.tif", model(2)), values)


def test_a_file_that_does_not_say_what_zero_means_is_black_at_zero(tmp_path: Path) -> None:
    values = (np.random.default_rng(0).random((9, 7, 5)) * 255).astype(np.uint8)
    # The tag of the photometric interpretation becomes one that nobody knows.
    data = tiff(values).replace(struct.pack("<HHI", 262, 4, 1), struct.pack("<HHI", 65000, 4, 1))
    assert data != tiff(values)
    (tmp_path / "a.tif").write_bytes(data)
    np.testing.assert_array_equal(read.read_for(tmp_path / "a.tif", model(5)), values)


def test_a_cut_off_file_of_many_bands_is_named(tmp_path: Path) -> None:
    whole = tiff(np.zeros((40, 40, 7), np.uint16))
    (tmp_path / "a.tif").write_bytes(whole[:3000] + whole[3500:])
    with pytest.raises(BadImageError, match=r"a\.tif"):
        read.read_for(tmp_path / "a.tif", model(7))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_the_upright_size_is_that_of_the_upright_picture(tmp_path: Path, suffix: str, orientation: int) -> None:
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture((24, 32))).save(path, exif=exif)
    for use_exif in (False, True):
        assert read.size_hw(path, use_exif=use_exif) == read.read_image(path, use_exif=use_exif).shape[:2]
    assert read.size_hw(path, use_exif=True) == ((32, 24) if orientation > 4 else (24, 32))


def test_of_several_pictures_the_first_is_taken_with_a_remark(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = [Image.fromarray(picture((24, 32), seed)).convert("L") for seed in (1, 2)]
    for name in ("a.gif", "a.tif"):
        images[0].save(tmp_path / name, save_all=True, append_images=images[1:])
        caplog.clear()
        np.testing.assert_array_equal(read.read_image(tmp_path / name)[:, :, 0], np.asarray(images[0]))
        assert f"{name} holds several pictures" in caplog.text
        caplog.clear()
        read.read_image(tmp_path / name)
        assert not caplog.text  # once for each file, however often it is read


def test_of_many_files_of_several_pictures_one_line_tells_what_was_not_told_yet(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [tmp_path / f"{name}.gif" for name in "abc"]
    for seed, path in enumerate(files):
        images = [Image.fromarray(picture((8, 8), seed + more)) for more in (10, 20)]
        images[0].save(path, save_all=True, append_images=images[1:])
    for told, words in (
        (files[:1], f"{files[0]} holds several pictures; the first is taken."),
        (files, f"2 files hold several pictures, of which the first is taken; one is {files[1]}."),
        (files, None),
        ([], None),
    ):
        caplog.clear()
        pages.remark_files(told)
        assert [record.getMessage() for record in caplog.records] == ([] if words is None else [words])


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for path, word in ((tmp_path / "folder.jpg", "a folder"), (tmp_path / "pipe.png", "a pipe or device")):
        for reader in (read.read_image, read.size_hw):
            with pytest.raises(BadImageError, match=word):
                reader(path)
