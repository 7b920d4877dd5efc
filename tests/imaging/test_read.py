"""Every decoder gives the same pixels, and files that are not whole are refused rather than filled with grey."""

from __future__ import annotations

import functools
import io
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_images import picture, png_that_claims
from PIL import Image

from densecast.errors import BadImageError
from densecast.imaging import read

RESTARTS = cv2.IMWRITE_JPEG_RST_INTERVAL
SIZES_HW = [(64, 96), (33, 47), (1, 1), (7, 200)]


def by_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("subsampling", [0, 1, 2], ids=["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_jpeg_pixels_are_pillows(tmp_path: Path, size_hw: tuple[int, int], subsampling: int) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture(size_hw)).save(path, quality=85, subsampling=subsampling)
    # Both are libjpeg-turbo with its default, accurate transform: equal to the last bit.
    np.testing.assert_array_equal(read.read_image(path), by_pillow(path))
    assert read.size_hw(path) == size_hw


@pytest.mark.parametrize("options", [{"progressive": True}, {"optimize": True}, {"exif": b"Exif\x00\x00MM"}])
def test_other_jpegs_are_pillows_too(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(picture((40, 60))).save(path, "JPEG", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow remarks on the damaged EXIF
        np.testing.assert_array_equal(read.read_image(path), by_pillow(path))


def made_by_opencv(pixels: np.ndarray, *settings: int) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, settings)[1])


@pytest.mark.parametrize("quality", [10, 75, 100])
@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_every_form_of_jpeg_has_opencvs_pixels(size_hw: tuple[int, int], quality: int) -> None:
    # The reader takes another library for them: whatever version of either is installed, not a bit may differ.
    pixels = picture(size_hw)
    factors = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411)
    factors += (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    settings = [
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor, *more)
        for factor in factors
        for more in ((), (RESTARTS, 3), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    ]
    files = [made_by_opencv(pixels, cv2.IMWRITE_JPEG_QUALITY, quality, *each) for each in settings]
    files += [made_by_opencv(pixels[..., 0], cv2.IMWRITE_JPEG_QUALITY, quality)]
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, keep_rgb=True)  # RGB is stored, not YCbCr
    for file in (*files, stream.getvalue()):
        wanted = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB)
        np.testing.assert_array_equal(read.decode(file, "a.jpg"), wanted)


def test_a_jpeg_of_four_inks_is_decoded_as_before(tmp_path: Path) -> None:
    Image.fromarray(picture((40, 60))).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    wanted = cv2.imread(str(tmp_path / "a.jpg"), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read.read_image(tmp_path / "a.jpg"), wanted)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "bmp", "gif", "ppm"])
def test_every_format_and_mode_is_expanded_to_rgb(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"a.{suffix}"
    source = Image.fromarray(picture((24, 32))).convert(mode)
    try:
        source.save(path, **({"lossless": True} if suffix == "webp" else {}))
    except (OSError, ValueError) as error:
        pytest.skip(f"Pillow does not write {mode} as {suffix} ({error})")
    image = read.read_image(path)
    assert (image.shape, image.dtype) == ((24, 32, 3), np.uint8)
    np.testing.assert_array_equal(image, by_pillow(path))


def test_transparency_is_dropped_not_blended(tmp_path: Path) -> None:
    rgba = np.dstack([picture((24, 32)), np.full((24, 32), 3, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read.read_image(tmp_path / "a.png"), rgba[:, :, :3])


def test_grey_of_sixteen_bits_keeps_its_upper_eight(tmp_path: Path) -> None:
    grey = (np.arange(24 * 32, dtype=np.uint32).reshape(24, 32) * 85).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    # Rounded or cut: one step of 255 apart at most.
    image = read.read_image(tmp_path / "a.png").astype(int)
    assert np.abs(image - (grey // 257)[..., None].astype(int)).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_followed_only_where_it_is_asked_for(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture((24, 40))).save(path, exif=exif, subsampling=0)
    np.testing.assert_array_equal(read.read_image(path), by_pillow(path))
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read.read_image(path, use_exif=True), upright)


@functools.cache
def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture((64, 96))).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
def test_cut_off_anywhere_is_refused_or_whole(tmp_path: Path, kind: str) -> None:
    data, path = encoded(kind), tmp_path / "a"
    path.write_bytes(data)
    whole = read.read_image(path)
    for share in np.linspace(0.0, 0.98, 25):
        path.write_bytes(data[: int(len(data) * share)])
        try:
            image = read.read_image(path)
        except BadImageError:
            continue
        # A format may end in bytes that hold no pixels.
        np.testing.assert_array_equal(image, whole)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"])
def test_damage_anywhere_is_an_image_or_one_kind_of_error(tmp_path: Path, kind: str) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "a"
    for _ in range(40):
        data = bytearray(encoded(kind))
        for place in rng.integers(0, min(len(data), 400), 3):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            image = read.read_image(path)
        except BadImageError:
            continue
        assert image.ndim == 3 and image.dtype == np.uint8


def test_padding_after_the_end_does_no_harm(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG"):
        (tmp_path / "a").write_bytes(encoded(kind))
        (tmp_path / "b").write_bytes(encoded(kind) + bytes(5000))
        np.testing.assert_array_equal(read.read_image(tmp_path / "b"), read.read_image(tmp_path / "a"))


@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (20_000, 20_000), (13_400, 13_400)])
def test_enormous_sizes_are_refused_before_anything_is_decoded(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "a.png").write_bytes(png_that_claims(width, height))
    with pytest.raises(BadImageError, match=r"178,956,970 pixels that are read.*--large"):
        read.size_hw(tmp_path / "a.png")


def test_the_limit_of_pixels_holds_for_deep_tiff_files_too(tmp_path: Path) -> None:
    def tiff_that_claims(side: int) -> Path:
        tags = [
            (256, 4, side), (257, 4, side), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
            (278, 4, side), (279, 4, 2),
        ]  # fmt: skip
        entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
        path = tmp_path / f"{side}.tif"
        path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))
        return path

    # 13377 x 13377 is the largest square of at most 178,956,970.
    assert read.size_hw(tiff_that_claims(13377)) == (13377, 13377)
    with pytest.raises(BadImageError, match=r"13378×13378 pixels; up to 178,956,970 are read"):
        read.size_hw(tiff_that_claims(13378))


def test_as_many_pixels_as_are_read_are_read_and_not_one_more(tmp_path: Path) -> None:
    for width, is_read in ((17_895_697, True), (17_895_698, False)):
        (tmp_path / "a.pgm").write_bytes(b"P5\n%d 10\n255\n" % width)
        if is_read:
            assert read.size_hw(tmp_path / "a.pgm") == (10, width)
            continue
        with pytest.raises(BadImageError, match="178,956,970 pixels"):
            read.size_hw(tmp_path / "a.pgm")


def test_large_sizes_are_read_without_a_remark(tmp_path: Path) -> None:
    # Beyond Pillow's own warning, which is an error in these tests.
    (tmp_path / "a.png").write_bytes(png_that_claims(12_000, 12_000))
    assert read.size_hw(tmp_path / "a.png") == (12_000, 12_000)


def test_files_are_known_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded("PNG"))
    np.testing.assert_array_equal(read.read_image(tmp_path / "a.jpg"), picture((64, 96)))


def test_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.png"):
        with pytest.raises(BadImageError, match=r"cannot be read|a folder"):
            read.read_image(path)
