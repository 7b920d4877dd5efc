"""Everything that can be one image is taken by a call of the pipeline; all else is refused with the cure."""

from __future__ import annotations

import base64
import io
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_artifacts
import tiny_specs
from made_images import picture
from PIL import Image

from densecast.errors import BadImageError, BadInputError, BadShapeError
from densecast.imaging.door import as_image
from densecast.pipeline import Pipeline
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.tensor import TensorSpec

RGB = picture((24, 32))
GREY = RGB[:, :, 0]


def model(channels: int = 3, **rule: object) -> ModelSpec:
    spec = tiny_specs.segmentation()
    batch, _, *sides = spec.input.shape
    tensor = TensorSpec("image", "float32", (batch, channels, *sides))
    return replace(spec, inputs=(tensor,), preprocess=Preprocess(Native(), **rule))  # type: ignore[arg-type]


def encoded(image: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def test_a_right_array_is_passed_on_itself() -> None:
    assert as_image(RGB, model()) is RGB


def test_paths_bytes_pillow_images_and_grey_or_transparent_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(RGB))
    with Image.open(path) as opened:
        for given in (path, str(path), encoded(RGB), bytearray(encoded(RGB)), opened, np.dstack([RGB, GREY])):
            np.testing.assert_array_equal(as_image(given, model()), RGB)
    three = np.repeat(GREY[:, :, None], 3, axis=2)
    for given in (GREY, GREY[:, :, None], Image.fromarray(GREY), encoded(GREY)):
        np.testing.assert_array_equal(as_image(given, model()), three)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_pillow_images_of_any_mode_are_what_pillow_converts_them_to(mode: str) -> None:
    image = Image.fromarray(RGB).convert(mode)
    np.testing.assert_array_equal(as_image(image, model()), np.asarray(image.convert("RGB")))


def test_pillow_images_for_a_model_of_four_bands_keep_their_own() -> None:
    image = Image.fromarray(np.dstack([RGB, GREY]), "RGBA")
    np.testing.assert_array_equal(as_image(image, model(4)), np.dstack([RGB, GREY]))
    np.testing.assert_array_equal(as_image(image, model(1)), as_image(RGB, model(1)))
    with pytest.raises(BadShapeError):
        as_image(Image.fromarray(RGB), model(4))


def test_pillow_images_are_turned_upright_where_files_are() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(encoded(RGB, "JPEG", quality=95, exif=exif))) as image:
        assert as_image(image, model(use_exif=True)).shape == (32, 24, 3)
        assert as_image(image, model()).shape == (24, 32, 3)


def test_pillow_images_of_16_bits_are_their_upper_byte() -> None:
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(as_image(deep, model())[:, :, 0], GREY)
    with pytest.raises(BadShapeError, match=r"0\.\.255"):
        as_image(Image.fromarray(GREY.astype(np.int32)), model())


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        (RGB.astype(np.float32) / 255, r"\(image \* 255\)"),
        (RGB.astype(np.float64), r"\(image \* 255\)"),
        (RGB.astype(np.uint16), "image >> 8"),
        (RGB > 9, r"astype\(np.uint8\) \* 255"),
        (RGB.astype(np.int64), r"image.astype\(np.uint8\)"),
        (RGB.transpose(2, 0, 1), r"transpose\(1, 2, 0\)"),
        (RGB[None], "one by one, or as a list to densecast.predict"),
        (RGB[0, 0], "Pass one image"),
        (np.zeros((0, 32, 3), np.uint8), "empty"),
        (np.zeros((24, 32, 2), np.uint8), "the channels it takes"),
        (np.zeros((24, 32, 5), np.uint8), "the channels it takes"),
        (RGB.tolist(), "a list. Pass images one by one"),
        ([RGB, RGB], "a list. Pass images one by one"),
        (None, "NoneType. Pass an array, a path"),
        (3.5, "float. Pass an array, a path"),
        (np.array([["a"]]), "image.astype"),
        (np.ma.masked_greater(RGB, 200), r"masked: pass image\.filled"),
        (Image.fromarray(RGB).convert("LA").convert("La"), "a Pillow image of mode La .*Convert it to RGB"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line_with_the_cure(given: object, cure: str) -> None:
    with pytest.raises(BadShapeError, match=cure) as raised:
        as_image(given, model())
    assert "\n" not in str(raised.value)


def test_open_files_are_read_as_their_bytes_and_what_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(RGB))
    with (tmp_path / "a.png").open("rb") as file, tempfile.SpooledTemporaryFile() as uploaded:
        uploaded.write(encoded(RGB))
        uploaded.seek(0)
        for given in (file, uploaded, io.BytesIO(encoded(RGB))):
            np.testing.assert_array_equal(as_image(given, model()), RGB)
        with pytest.raises(BadShapeError, match=r"at its end.*seek\(0\)"):
            as_image(file, model())
    with pytest.raises(BadShapeError, match=r"gave str\. Open it with 'rb'"):
        as_image(io.StringIO("words"), model())


def test_paths_are_of_any_kind_and_base64_is_told_from_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(RGB))

    class Place:
        def __fspath__(self) -> str:
            return str(tmp_path / "a.png")

    np.testing.assert_array_equal(as_image(Place(), model()), RGB)
    text = base64.b64encode(encoded(RGB)).decode()
    for given in (text, f"data:image/png;base64,{text}", "data:image/png;base64,iVBO"):
        with pytest.raises(BadImageError, match=r"is no name of a file\. .*b64decode") as raised:
            as_image(given, model())
        assert len(str(raised.value)) < 300


def test_an_array_whose_mask_hides_nothing_is_an_image() -> None:
    found = as_image(np.ma.masked_array(RGB, mask=False), model())
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, RGB)


@pytest.mark.torch
def test_a_tensor_is_refused_with_its_conversion() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(BadShapeError, match=r"torch tensor \(3, 4, 5\)\. Pass \(tensor \* 255\).*byte\(\)\.permute"):
        as_image(torch.zeros(3, 4, 5), model())
    with pytest.raises(BadShapeError, match=r"torch tensor \(4, 5, 3\)\. Pass tensor\.cpu"):
        as_image(torch.zeros(4, 5, 3, dtype=torch.uint8), model())
    with pytest.raises(BadShapeError, match=r"Pass tensor\[0\]\.permute"):
        as_image(torch.zeros(2, 3, 4, 5, dtype=torch.uint8), model())


@pytest.mark.parametrize("address", ["https://a.example/b.jpg", "s3://bucket/b.jpg", "rtsp://a.example/live"])
def test_an_address_is_called_one_and_not_mangled(address: str) -> None:
    with pytest.raises(BadInputError, match=f"{address}: an address, where a file is needed.*allow_url"):
        as_image(address, model())


@pytest.mark.parametrize("given", [b"", b"no image", "absent.png", "", "a\0b", Path("absent.png")])
def test_files_that_are_none_are_refused(given: object) -> None:
    with pytest.raises(BadInputError):
        as_image(given, model())


def test_a_damaged_file_of_bytes_is_refused() -> None:
    whole = encoded(RGB, "JPEG")
    with pytest.raises(BadImageError, match="the image's bytes"):
        as_image(whole[: len(whole) // 2] + b"\xff\xd9", model())


def test_networks_with_a_value_range_take_other_numbers_but_no_nan() -> None:
    spec = model(value_range=(0.0, 1.0))
    for dtype in ("float32", "float64", "uint16", "int32"):
        image = RGB.astype(dtype)
        assert as_image(image, spec) is not None and as_image(image, spec).dtype == dtype
    with pytest.raises(BadShapeError, match="NaN"):
        as_image(np.full((4, 4, 3), np.nan, np.float32), spec)
    with pytest.raises(BadShapeError, match="value_range"):
        as_image(RGB > 3, spec)


def test_networks_of_many_bands_take_theirs_alone() -> None:
    bands = np.zeros((24, 32, 6), np.uint8)
    assert as_image(bands, model(6)) is bands
    for wrong in (RGB, np.zeros((24, 32, 4), np.uint8), GREY):
        with pytest.raises(BadShapeError, match=r"\(height, width, 6\)"):
            as_image(wrong, model(6))
    for right in (GREY, RGB, GREY[:, :, None]):
        assert as_image(right, model(1)).ndim == 3


@pytest.mark.parametrize("given", [np.zeros((8, 8, 3), np.uint8), "a.jpg", ["a.jpg", "b.jpg"], None])
def test_an_image_for_a_later_stage_is_told_where_it_goes(tmp_path: Path, given: Any) -> None:
    built = tiny_artifacts.compiled(tmp_path, BuildOptions("reference", "force_float32", InputShape((1,), 24, 32)))
    with Pipeline.open(built.folder) as pipeline:
        for stage in (pipeline.predict, pipeline.forward, lambda image: pipeline.postprocess([], image)):
            with pytest.raises(BadShapeError, match=r"what `preprocess` gives.*pipeline\(image\)"):
                stage(given)
