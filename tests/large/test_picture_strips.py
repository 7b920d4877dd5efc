"""Pictures read in strips have the pixels that Pillow and OpenCV give of the whole file."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import made_tiff
import numpy as np
import pytest
import tiny_specs
from PIL import Image, TiffImagePlugin

from densecast.errors import BadImageError
from densecast.imaging import read
from densecast.imaging.geotiff import georeference
from densecast.imaging.strips import Strips, jpeg, open_strips, png, tiff
from densecast.imaging.tiff_writer import TiffWriter
from densecast.spec.georeference import Georeference


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:123, :157]
    waves = np.stack([x + y, 2 * x, 255 - y], -1) % 256
    return np.clip(waves + rng.normal(0, 3, (123, 157, 3)), 0, 255).astype(np.uint8)


def whole(strips: Strips, step: int = 17) -> np.ndarray:
    with strips:
        parts = [strips.read(step) for _ in range(0, strips.size_hw[0], step)]
    return np.concatenate(parts)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1"])
def test_a_png_in_strips_has_pillows_pixels(tmp_path: Path, picture: np.ndarray, mode: str) -> None:
    image = Image.fromarray(picture).convert(mode)
    image.save(tmp_path / "a.png")
    got = whole(png.open_png(tmp_path / "a.png"))
    assert np.array_equal(np.repeat(got[:, :, :1], 3, 2) if got.shape[2] < 3 else got[:, :, :3], image.convert("RGB"))


@pytest.mark.parametrize("depth", [2, 8])
def test_a_pixel_of_a_png_beyond_its_palette_is_black_in_strips_as_in_the_whole(tmp_path: Path, depth: int) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 4, 3, depth, 3, 0, 0, 0)
    line = bytes([0, 0, 1, 2, 3]) if depth == 8 else bytes([0, 0b00011011])
    parts = ((b"IHDR", header), (b"PLTE", bytes([10, 20, 30, 40, 50, 60])), (b"IDAT", zlib.compress(3 * line)))
    body = b"".join(chunk(kind, part) for kind, part in (*parts, (b"IEND", b"")))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    expected = np.broadcast_to([[10, 20, 30], [40, 50, 60], [0, 0, 0], [0, 0, 0]], (3, 4, 3))
    assert np.array_equal(whole(png.open_png(tmp_path / "a.png")), expected)
    assert np.array_equal(read.read_image(tmp_path / "a.png"), expected)


def test_a_png_of_16_bits_keeps_them(tmp_path: Path, picture: np.ndarray) -> None:
    deep = picture.astype(np.uint16) * 257 - 3
    cv2.imwrite(str(tmp_path / "a.png"), deep[:, :, ::-1])
    assert np.array_equal(whole(png.open_png(tmp_path / "a.png")), deep)


@pytest.mark.parametrize("size_hw", [(3, 5), (123, 157), (600, 70)])
@pytest.mark.parametrize("sampling", [0, 1, 2], ids=["444", "422", "420"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_in_strips_has_opencvs_pixels(
    tmp_path: Path, mode: str, sampling: int, size_hw: tuple[int, int]
) -> None:
    """To the bit: at any sampling of colours, with tables of its own, with restart markers and without."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    waves = np.stack([x + y, 2 * x, 255 - y], -1) % 256
    image = Image.fromarray(np.clip(waves + rng.normal(0, 9, waves.shape), 0, 255).astype(np.uint8)).convert(mode)
    for options in ({"quality": 30}, {"quality": 95, "optimize": True}, {"quality": 75, "restart_marker_blocks": 7}):
        image.save(tmp_path / "a.jpg", subsampling=sampling, **options)
        opened = jpeg.open_jpeg(tmp_path / "a.jpg")
        assert opened is not None
        assert np.array_equal(whole(opened), cv2.imread(str(tmp_path / "a.jpg"), cv2.IMREAD_COLOR_RGB)), options


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_blocks_that_use_their_last_frequency_end_without_a_mark(tmp_path: Path, mode: str) -> None:
    """Noise at the best quality: hardly a block ends before its 64th coefficient."""
    noise = np.random.default_rng(0).integers(0, 256, (61, 83, 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(tmp_path / "a.jpg", quality=100, subsampling=0)
    opened = jpeg.open_jpeg(tmp_path / "a.jpg")
    assert opened is not None
    assert np.array_equal(whole(opened), cv2.imread(str(tmp_path / "a.jpg"), cv2.IMREAD_COLOR_RGB))


def _saved(picture: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", **options)
    return file.getvalue()


def test_a_jpeg_that_does_not_go_from_top_to_bottom_is_left_to_be_read_whole(
    tmp_path: Path, picture: np.ndarray
) -> None:
    (tmp_path / "a.jpg").write_bytes(_saved(picture, progressive=True))
    assert jpeg.open_jpeg(tmp_path / "a.jpg") is None
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "a.jpg")
    assert jpeg.open_jpeg(tmp_path / "a.jpg") is None
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif)
    assert jpeg.open_jpeg(tmp_path / "a.jpg", use_exif=True) is None
    opened = jpeg.open_jpeg(tmp_path / "a.jpg")
    assert opened is not None and opened.size_hw == picture.shape[:2]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_damaged_jpeg_is_told_in_strips_too(tmp_path: Path, picture: np.ndarray, share: float) -> None:
    good = _saved(picture)
    cut = int(len(good) * share)
    for bad in (good[:cut], good[:cut] + b"\xff\xd9", good[:cut] + good[cut + 40 :]):
        (tmp_path / "a.jpg").write_bytes(bad)
        opened = jpeg.open_jpeg(tmp_path / "a.jpg")
        assert opened is not None
        with pytest.raises(BadImageError, match="the JPEG is damaged"):
            whole(opened)


def test_means_that_differ_as_far_as_they_can_are_read_in_rows(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :96]
    blocks = np.where((y // 8 + x // 8) % 2, 255, 0).astype(np.uint8)  # of eight pixels, black and white in turn
    for options in ({}, {"restart_marker_blocks": 5}):
        (tmp_path / "a.jpg").write_bytes(_saved(blocks, quality=100, **options))
        opened = jpeg.open_jpeg(tmp_path / "a.jpg")
        assert opened is not None
        np.testing.assert_array_equal(whole(opened, step=9)[:, :, 0], blocks)


@pytest.mark.parametrize("number", [0, 3, 7])
def test_restart_markers_out_of_turn_are_damage_in_strips_too(tmp_path: Path, picture: np.ndarray, number: int) -> None:
    good = _saved(picture, restart_marker_blocks=3)
    at = good.index(bytes([0xFF, 0xD0 + number]))
    (tmp_path / "a.jpg").write_bytes(good[:at] + bytes([0xFF, 0xD0 + (number + 1) % 8]) + good[at + 2 :])
    opened = jpeg.open_jpeg(tmp_path / "a.jpg")
    assert opened is not None
    with pytest.raises(BadImageError, match="the JPEG is damaged"):
        whole(opened)


def test_a_jpeg_of_more_pixels_than_are_decoded_at_once_is_read_in_rows(tmp_path: Path, picture: np.ndarray) -> None:
    """Only its first rows are there: they are read, and then the end is missing."""
    wide = cv2.imencode(".jpg", np.tile(picture, (3, 30, 1))[:, :, ::-1])[1].tobytes()
    claimed = bytearray(wide)
    place = claimed.index(b"\xff\xc0") + 5
    claimed[place : place + 2] = (60_000).to_bytes(2, "big")
    (tmp_path / "a.jpg").write_bytes(claimed)
    with open_strips(tmp_path / "a.jpg", tiny_specs.segmentation()) as opened:
        assert opened.size_hw == (60_000, 157 * 30)
        (tmp_path / "b.jpg").write_bytes(wide)
        assert np.array_equal(opened.read(256), cv2.imread(str(tmp_path / "b.jpg"), cv2.IMREAD_COLOR_RGB)[:256])
        with pytest.raises(BadImageError, match="the JPEG is damaged"):
            opened.read(1000)


COMPRESSIONS = [None, "tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_tiff_in_strips_has_pillows_pixels(
    tmp_path: Path, picture: np.ndarray, mode: str, compression: str | None
) -> None:
    if (mode, compression) == ("RGBA", "jpeg"):
        pytest.skip("Pillow writes no such file")
    image = Image.fromarray(picture).convert(mode)
    image.save(tmp_path / "a.tif", compression=compression)
    with Image.open(tmp_path / "a.tif") as saved:
        want = np.atleast_3d(np.asarray(saved))
    assert np.array_equal(whole(tiff.open_tiff(tmp_path / "a.tif")), want)


def test_a_bigtiff_and_a_palette_are_read(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "big.tif", big_tiff=True)
    assert (tmp_path / "big.tif").read_bytes()[2] == 43, "it is a BigTIFF"
    assert np.array_equal(whole(tiff.open_tiff(tmp_path / "big.tif")), picture)
    image = Image.fromarray(picture).convert("P")
    image.save(tmp_path / "p.tif")
    assert np.array_equal(whole(tiff.open_tiff(tmp_path / "p.tif")), image.convert("RGB"))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_numbers_that_mean_something_else_than_brightness_are_turned_once_in_every_compression(
    tmp_path: Path, picture: np.ndarray, compression: str | None
) -> None:
    """White is zero, and colours of a palette: whoever unpacks a block must not turn what is turned afterwards."""
    palette = Image.fromarray(picture).convert("P")
    palette.save(tmp_path / "p.tif", compression=compression)
    assert np.array_equal(whole(tiff.open_tiff(tmp_path / "p.tif")), palette.convert("RGB"))
    grey = Image.fromarray(picture[:, :, 0])
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    grey.save(tmp_path / "w.tif", compression=compression, tiffinfo=tags)
    with Image.open(tmp_path / "w.tif") as saved:
        assert saved.tag_v2[262] == 0 and np.array_equal(np.asarray(saved), picture[:, :, 0])
    assert np.array_equal(whole(tiff.open_tiff(tmp_path / "w.tif"))[:, :, 0], picture[:, :, 0])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32"])
def test_white_is_the_largest_number_of_the_type_where_it_is_stored_as_zero(tmp_path: Path, dtype: str) -> None:
    pixels = (np.arange(20 * 30).reshape(20, 30, 1) % 200).astype(dtype)
    (tmp_path / "a.tif").write_bytes(made_tiff.tiff(pixels, photometric=0))
    white = {"uint8": 255, "uint16": 65535, "uint32": 2**32 - 1}.get(dtype)  # of signed numbers nobody says it
    expected = pixels if white is None else (white - pixels.astype(np.int64)).astype(dtype)
    np.testing.assert_array_equal(whole(tiff.open_tiff(tmp_path / "a.tif")), expected)
    if dtype != "uint8":  # which others read
        data = (tmp_path / "a.tif").read_bytes()
        whole_file = read.decode(data, "a.tif", every_band=True, full_depth=True)
        np.testing.assert_array_equal(whole_file, expected)


def test_one_deflated_strip_is_unpacked_row_by_row(tmp_path: Path, picture: np.ndarray) -> None:
    image = Image.fromarray(picture)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[278] = picture.shape[0]
    image.save(tmp_path / "a.tif", compression="tiff_adobe_deflate", tiffinfo=tags)
    assert np.array_equal(whole(tiff.open_tiff(tmp_path / "a.tif"), step=1), picture)


FORMS = [{}, {"planar": 2}, {"tile": 16, "deflate": True}, {"planar": 2, "big": True}, {"tile": 16, "planar": 2}]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "uint32"])
def test_bands_of_any_number_and_type_in_any_layout(tmp_path: Path, dtype: str, form: dict[str, int]) -> None:
    for bands in (1, 2, 3, 6):
        pixels = (np.random.default_rng(bands).random((37, 53, bands)) * 200).astype(dtype)
        (tmp_path / "a.tif").write_bytes(made_tiff.tiff(pixels, **form))
        found = whole(tiff.open_tiff(tmp_path / "a.tif"), step=5)
        assert found.dtype == pixels.dtype and np.array_equal(found, pixels)


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_what_is_damaged_or_cannot_be_read_in_rows_is_said(tmp_path: Path, picture: np.ndarray) -> None:
    image = Image.fromarray(picture)
    image.save(tmp_path / "cut.png")
    cut(tmp_path / "cut.png")
    with pytest.raises(BadImageError, match=r"cut\.png: the pixel data is damaged or cut off"):
        whole(png.open_png(tmp_path / "cut.png"))
    image.save(tmp_path / "changed.png")
    data = bytearray((tmp_path / "changed.png").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "changed.png").write_bytes(data)
    with pytest.raises(BadImageError, match="damaged or cut off"):
        whole(png.open_png(tmp_path / "changed.png"))
    head = struct.pack(">IIBBBBB", 157, 123, 8, 2, 0, 0, 1)
    body = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    (tmp_path / "adam.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body + struct.pack(">I", 0) + b"IDAT" + bytes(4))
    with pytest.raises(BadImageError, match="interlaced"):
        png.open_png(tmp_path / "adam.png")
    image.save(tmp_path / "cut.tif", compression=None)
    data = (tmp_path / "cut.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[:-20000] if data[4] == 8 and data[5] == 0 else data[: len(data) // 2])
    with pytest.raises(BadImageError, match="damaged"):
        whole(tiff.open_tiff(tmp_path / "cut.tif"))


def test_a_written_tiff_is_read_by_pillow_and_opencv(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 9, (300, 513)).astype(np.uint8)
    deep = rng.integers(0, 999, (300, 513)).astype(np.uint16)
    for name, plane, colours in (("a.tif", labels, ()), ("b.tif", deep, ()), ("c.tif", labels, ((1, 2, 3), (9, 8, 7)))):
        with TiffWriter(tmp_path / name, (300, 513), plane.dtype, palette=colours, description="0 road") as target:
            for begin in range(0, 300, 37):
                target.add(plane[begin : begin + 37])
        with Image.open(tmp_path / name) as image:
            assert np.array_equal(np.asarray(image), plane)
        if not colours:
            assert np.array_equal(cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED), plane)
    with Image.open(tmp_path / "c.tif") as image:
        assert image.getpalette()[:6] == [1, 2, 3, 9, 8, 7]
    assert whole(tiff.open_tiff(tmp_path / "b.tif")).shape == (300, 513, 1)


def geo_tags(raster_type: int) -> TiffImagePlugin.ImageFileDirectory_v2:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[33550], tags.tagtype[33550] = (0.5, 0.25, 0.0), 12
    tags[33922], tags.tagtype[33922] = (10.0, 20.0, 0.0, 400000.0, 5000000.0, 0.0), 12
    tags[34735], tags.tagtype[34735] = (1, 1, 0, 2, 1025, 0, 1, raster_type, 3072, 0, 1, 32633), 3
    return tags


# Pixel (10, 20) is at (400000, 5000000): its corner, or (raster type 2) its centre, half a pixel further.
@pytest.mark.parametrize(("raster_type", "c", "f"), [(1, 399995.0, 5000005.0), (2, 399994.75, 5000005.125)])
def test_a_geotiff_says_where_its_pixels_lie(
    tmp_path: Path, picture: np.ndarray, raster_type: int, c: float, f: float
) -> None:
    Image.fromarray(picture).save(tmp_path / "a.tif", tiffinfo=geo_tags(raster_type))
    found = georeference(tmp_path / "a.tif")
    assert found == Georeference((0.5, 0.0, c, 0.0, -0.25, f), "EPSG:32633")
    Image.fromarray(picture).save(tmp_path / "plain.tif")
    Image.fromarray(picture).save(tmp_path / "plain.png")
    assert georeference(tmp_path / "plain.tif") is None and georeference(tmp_path / "plain.png") is None


@pytest.mark.parametrize(("orientation", "is_read"), [(None, True), (1, True), (2, False), (3, False), (6, False)])
def test_a_tiff_is_read_in_strips_unless_its_orientation_tag_turns_it(
    orientation: int | None, is_read: bool, picture: np.ndarray, tmp_path: Path
) -> None:
    tags = {} if orientation is None else {274: orientation}
    Image.fromarray(picture).save(tmp_path / "a.tif", tiffinfo=tags)
    if is_read:
        np.testing.assert_array_equal(whole(tiff.open_tiff(tmp_path / "a.tif", use_exif=True)), picture)
    else:
        with pytest.raises(BadImageError, match="turned by its orientation tag"):
            tiff.open_tiff(tmp_path / "a.tif", use_exif=True)
    # Whoever reads files as they are stored reads all of them.
    np.testing.assert_array_equal(whole(tiff.open_tiff(tmp_path / "a.tif", use_exif=False)), picture)
