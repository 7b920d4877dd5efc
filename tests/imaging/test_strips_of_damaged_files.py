"""Files that are read row by row: what is damaged in them is told, what is beside their pixels is passed over."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_specs
from PIL import Image

from densecast.errors import BadImageError
from densecast.imaging import other_files
from densecast.imaging.strips import open_strips
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Native, Preprocess

PIXELS = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)
RGB = tiny_specs.segmentation(resize=Native())


def turned_upright() -> ModelSpec:
    return replace(RGB, preprocess=Preprocess(Native(), use_exif=True))


def read(path: Path, spec: ModelSpec = RGB) -> np.ndarray:
    with open_strips(path, spec) as strips:
        return np.concatenate([np.array(chunk) for chunk in strips.chunks])


def chunk(kind: bytes, body: bytes, sum_: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body) if sum_ is None else sum_)
    )


def header(width: int = 3, height: int = 4, depth: int = 8, colour: int = 2, interlaced: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def lines(filter_: int = 0, pixels: np.ndarray = PIXELS) -> bytes:
    return zlib.compress(b"".join(bytes([filter_]) + row.tobytes() for row in pixels))


END = chunk(b"IEND", b"")


def png(folder: Path, *chunks: bytes) -> Path:
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return folder / "a.png"


def test_pixels_come_in_several_chunks_with_others_between_them(tmp_path: Path) -> None:
    data = lines()
    text, large = chunk(b"tEXt", b"a\0b"), chunk(b"eXIf", b"x" * ((1 << 20) + 1))
    file = png(
        tmp_path,
        header(),
        large,
        text,
        chunk(b"IDAT", data[:7]),
        chunk(b"IDAT", b""),
        text,
        chunk(b"IDAT", data[7:]),
        END,
    )
    np.testing.assert_array_equal(read(file), PIXELS)
    # What is behind the last pixel is not asked for.
    np.testing.assert_array_equal(read(png(tmp_path, header(), chunk(b"IDAT", data))), PIXELS)


def test_colours_of_a_palette_are_looked_up_and_those_it_lacks_are_black(tmp_path: Path) -> None:
    index = np.array([[0, 1, 2]] * 4, np.uint8)
    file = png(
        tmp_path, header(colour=3), chunk(b"PLTE", bytes([9, 8, 7, 1, 2, 3, 99])), chunk(b"IDAT", lines(0, index)), END
    )
    assert read(file)[0].tolist() == [[9, 8, 7], [1, 2, 3], [0, 0, 0]]


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ((chunk(b"IDAT", lines()), END), "it has no header"),
        ((header(), END[:6]), "it ends before its pixels do"),
        ((header(colour=3), chunk(b"IDAT", lines()), END), "it has no palette"),
        ((chunk(b"IHDR", b"\0" * 12), END), "its header is cut off"),
        ((header(width=0), END), "0×4 pixels of 8 bits, colour type 2"),
        ((header(height=0), END), "3×0 pixels"),
        ((header(width=1 << 31), END), "2147483648×4 pixels"),
        ((header(depth=4), END), "4 bits, colour type 2"),
        ((header(colour=5), END), "colour type 5"),
        ((header(colour=3, depth=16), END), "16 bits, colour type 3"),
        ((chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 4, 8, 2, 0, 0, 0), 7), END), "chunk IHDR is cut off or changed"),
        ((header(), chunk(b"PLTE", b"\0" * 9)[:-6]), "chunk PLTE is cut off or changed"),
        ((header(), chunk(b"IDAT", lines()[:9], 7), chunk(b"IDAT", lines()[9:]), END), "a checksum differs"),
        ((header(), chunk(b"IDAT", lines())[:-20]), "it ends before its pixels do"),
        ((header(), chunk(b"IDAT", lines(0, PIXELS[:3])), END), "it ends before its pixels do"),
        ((header(), chunk(b"IDAT", lines(5)), END), "a line has a filter that there is not"),
        ((header(), chunk(b"IDAT", b"no deflated data"), END), "the pixel data is damaged or cut off"),
        ((header(interlaced=1), chunk(b"IDAT", lines()), END), "Save it without interlacing"),
    ],
)
def test_a_png_that_is_damaged_is_told_where(tmp_path: Path, chunks: tuple[bytes, ...], words: str) -> None:
    with pytest.raises(BadImageError, match=words) as raised:
        read(png(tmp_path, *chunks))
    assert str(tmp_path / "a.png") in str(raised.value)


@pytest.mark.parametrize(("exif", "is_turned"), [(6, True), (1, False), (None, False)])
def test_a_tag_that_turns_a_png_is_refused_where_it_counts(tmp_path: Path, exif: int | None, is_turned: bool) -> None:
    tags = Image.Exif()
    if exif is not None:
        tags[0x0112] = exif
    body = tags.tobytes().removeprefix(b"Exif\0\0") if exif is not None else b"damaged"
    file = png(tmp_path, header(), chunk(b"eXIf", body), chunk(b"IDAT", lines()), END)
    np.testing.assert_array_equal(read(file), PIXELS)
    if is_turned:
        with pytest.raises(BadImageError, match="turned by its orientation tag"):
            read(file, turned_upright())
    else:
        np.testing.assert_array_equal(read(file, turned_upright()), PIXELS)


def tiff(folder: Path, strips: tuple[bytes, ...] = (PIXELS.tobytes(),), **changed: Any) -> Path:
    """A file of 3×4 pixels in little-endian order; `changed` are tags by their numbers, None for one less."""
    data = b"".join(strips)
    starts = np.cumsum([8, *(len(each) for each in strips)]).tolist()
    tags: dict[int, Any] = {
        256: 3, 257: 4, 258: [8, 8, 8], 259: 1, 262: 2, 273: starts[: len(strips)], 277: 3, 278: 4,
        279: [len(each) for each in strips],
    }  # fmt: skip
    tags |= {int(name[1:]): value for name, value in changed.items()}
    entries, rest = b"", b""
    kept = sorted((number, value) for number, value in tags.items() if value is not None)
    behind = 8 + len(data) + 2 + 12 * len(kept) + 4
    for number, value in kept:
        values = value if isinstance(value, list) else [value]
        packed = struct.pack(f"<{len(values)}I", *values)
        place = packed if len(values) == 1 else struct.pack("<I", behind + len(rest))
        rest += b"" if len(values) == 1 else packed
        entries += struct.pack("<HHI", number, 4, len(values)) + place
    directory = struct.pack("<H", len(kept)) + entries + struct.pack("<I", 0)
    (folder / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory + rest)
    return folder / "a.tif"


def test_strips_of_a_tiff_are_its_rows_in_order(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tiff(tmp_path)), PIXELS)
    parts = (PIXELS[:3].tobytes(), PIXELS[3:].tobytes())
    np.testing.assert_array_equal(read(tiff(tmp_path, parts, t278=3)), PIXELS)
    deflated = tuple(zlib.compress(part) for part in parts)
    np.testing.assert_array_equal(read(tiff(tmp_path, deflated, t278=3, t259=8)), PIXELS)
    steps = np.diff(PIXELS, axis=1, prepend=np.uint8(0)).astype(np.uint8)
    np.testing.assert_array_equal(read(tiff(tmp_path, (zlib.compress(steps.tobytes()),), t259=8, t317=2)), PIXELS)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"t257": 0}, "3×0 pixels of 3 bands"), ({"t256": 0}, "0×4 pixels"), ({"t277": 0}, "of 0 bands"),
        ({"t278": 0}, "blocks of 3×0 pixels"), ({"t278": 2}, "blocks are missing"),
        ({"t279": [10_000]}, "blocks are missing"),
        ({"t262": 5}, "its colours are CMYK"), ({"t258": [8, 8, 16]}, "no integers or floats"),
        ({"t258": [4, 4, 4]}, "no integers or floats"), ({"t339": [3, 3, 3]}, "no integers or floats"),
        ({"t279": [35]}, "35 of 36 bytes"), ({"t259": 8}, "the pixel data is damaged or cut off"),
        ({"t277": 2, "t258": [8, 8], "t259": 32773, "t279": [20]}, "the pixel data is damaged or cut off"),
    ],
)  # fmt: skip
def test_a_tiff_that_is_damaged_is_told_how(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(BadImageError, match=words) as raised:
        read(tiff(tmp_path, **changed))
    assert str(tmp_path / "a.tif") in str(raised.value)


def test_a_deflated_strip_that_ends_early_is_told_by_its_length(tmp_path: Path) -> None:
    short = zlib.compress(PIXELS.tobytes()[:30])
    with pytest.raises(BadImageError, match="30 of 36 bytes"):
        read(tiff(tmp_path, (short,), t259=8))


def test_pictures_have_at_most_four_bands_and_other_networks_their_own(tmp_path: Path) -> None:
    five = np.zeros((4, 3, 5), np.uint8).tobytes()
    file = tiff(tmp_path, (five,), t277=5, t258=[8] * 5)
    with pytest.raises(BadImageError, match="5 bands, a picture has one"):
        read(file)
    for count, fits in ((5, True), (4, False)):
        rule = Preprocess(Native(), mean=(0.0,) * count, std=(1.0,) * count)
        image = replace(RGB.input, shape=(RGB.input.shape[0], count, *RGB.input.shape[2:]))
        spec = replace(RGB, inputs=(image,), preprocess=rule)
        if fits:
            assert read(file, spec).shape == (4, 3, 5)
        else:
            with pytest.raises(BadImageError, match="5 bands, the network takes 4"):
                read(file, spec)


def test_values_that_are_no_bytes_need_their_black_and_white(tmp_path: Path) -> None:
    values = np.arange(36, dtype="<i4").tobytes()
    file = tiff(tmp_path, (values,), t258=[32, 32, 32], t339=[2, 2, 2])
    with pytest.raises(BadImageError, match="its values are int32, and nothing says which are black and white"):
        read(file)
    with pytest.raises(BadImageError, match="cannot be read"):
        read(tmp_path / "none.tif")


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"\0\1\2\3", "not an image of a known format (JPEG, PNG)."),
        (b"\x89PNG\n\x1a\n", "a PNG whose line ends were changed"),
        (b"\0\0\0\x18ftypheic", "a HEIC or AVIF file"),
        (b"  <!DOCTYPE html>", "a web page, SVG or XML, where an image is needed."),
        (b"%PDF-1.7", "a PDF, where an image is needed."),
        (b"\0" * 128 + b"DICM", "a DICOM file"),
    ],
)
def test_a_file_that_is_no_image_is_told_what_it_is(start: bytes, words: str) -> None:
    assert words in other_files.told(start, ("JPEG", "PNG"))
