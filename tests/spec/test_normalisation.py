"""A normalisation that cannot be right is refused where it is declared; one that is unusual is remarked on."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from made_images import picture

from densecast.errors import BadConfigError
from densecast.imaging.prepare import prepare
from densecast.io import codec
from densecast.spec.preprocess import Letterbox, Native, PoseAffine, Preprocess, ScaleBy
from densecast.verbs.export import spec_file
from densecast.verbs.export.spec_file import SpecFile

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (IMAGENET, "of values 0..1, but images have 0..255. Declare divisor = 255"),
        ({"mean": (0.5,), "std": (0.5,)}, "divisor = 255"),
        ({"mean": (0.0,), "std": (0.5,)}, "divisor = 255"),
        ({"mean": (0.5,), "std": (1.0,)}, "divisor = 255"),
        ({"mean": (-1.0, 0.2, 0.1), "std": (1.0,)}, "divisor = 255"),
        ({"std": (0.0, 1.0, 1.0)}, "std must be above 0"),
        ({"std": (-58.0, 57.0, 57.0)}, "std must be above 0"),
        ({"std": (float("nan"), 57.0, 57.0)}, "std must be finite"),
        ({"std": (float("inf"),)}, "std must be finite"),
        ({"mean": (float("nan"), 0.0, 0.0)}, "mean must be finite"),
        ({"mean": ()}, "mean must be finite numbers"),
        ({"divisor": 0.0}, "divisor must be above 0"),
        ({"divisor": float("inf")}, "divisor must be above 0"),
        ({"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375), "divisor": 255.0}, "Leave the divisor"),
        ({"divisor": 255.0}, "divide twice"),
        ({"value_range": (5.0, 5.0)}, "two rising numbers"),
        ({"value_range": (0.0, float("inf"))}, "two rising numbers"),
        ({"pad_fill": (300.0,)}, "0..255"),
    ],
)
def test_what_cannot_be_right_is_refused(numbers: dict[str, object], message: str) -> None:
    with pytest.raises(BadConfigError, match=message):
        Preprocess(Native(), **numbers)  # type: ignore[arg-type]
    plain = {"labels": ["a", "b"], "preprocess": {"resize": {"kind": "native"}, **numbers}}
    with pytest.raises(BadConfigError, match=f"a.toml: .*{message}"):
        codec.from_plain(plain, SpecFile, "a.toml")


@pytest.mark.parametrize(
    "numbers",
    [
        {**IMAGENET, "divisor": 255.0},
        {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)},
        {"mean": (104.0, 117.0, 123.0), "std": (1.0,)},
        {"mean": (0.0,), "std": (1.0,)},
        {"mean": (127.5,), "std": (127.5,)},
        {"mean": (1.0,), "std": (1.0,), "divisor": 127.5},
        {},
    ],
)
def test_what_networks_have_passes_without_a_remark(numbers: dict[str, object]) -> None:
    assert not Preprocess(Native(), **numbers).remarks()  # type: ignore[arg-type]


@pytest.mark.parametrize("std", [(0.5, 60.0, 60.0), (60.0, 60.0, 600.0), (600.0, 60.0, 60.0)])
def test_one_channel_of_an_unusual_range_is_enough_for_a_remark(std: tuple[float, float, float]) -> None:
    # 255 / 0.5 = 510 is more than bytes have; 255 / 600 is less than half of the usual unit.
    (remark, *_) = Preprocess(Native(), mean=(120.0, 120.0, 120.0), std=std).remarks()
    assert "makes images span" in remark


def test_the_unusual_is_warned_of_when_a_spec_is_used(caplog: pytest.LogCaptureFixture) -> None:
    rule = Preprocess(Native(), mean=(123.675, 116.28, 103.53), std=(0.229, 0.224, 0.225))
    with caplog.at_level(logging.WARNING):
        SpecFile(("a", "b"), rule).model("x")
    assert "check that it is meant" in caplog.text


def read(tmp_path: Path, preprocess: str, more: str = "") -> SpecFile:
    (tmp_path / "a.toml").write_text(f'labels = ["a", "b"]\n{more}\n[preprocess]\n{preprocess}\n')
    return spec_file.read(tmp_path / "a.toml")


NATIVE = 'resize = { kind = "native" }\n'


def test_one_number_stands_for_all_channels_and_colours_are_of_any_case(tmp_path: Path) -> None:
    rule = read(tmp_path, NATIVE + 'mean = 127.5\nstd = [127.5]\ncolour = "bgr"').preprocess
    image = picture((8, 8))
    wanted = (image[:, :, ::-1].astype(np.float32) - np.float32(127.5)) / np.float32(127.5)
    np.testing.assert_array_equal(prepare(image, rule)[0], wanted.transpose(2, 0, 1))
    assert read(tmp_path, NATIVE + 'colour = "grey"', "channels = 1").model("x").input.shape[1] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NATIVE + "mean = [1.0, 2.0]", "mean needs 3 numbers, one a channel, or one for all; got 2"),
        (NATIVE + 'mean = ["x"]', "must be a number, got 'x'"),
        (NATIVE + 'colour = "HSV"', "must be 'RGB', 'BGR' or 'GRAY', got 'HSV'"),
        (NATIVE + 'interpolation = "cubic"', "must be 'bicubic_pillow', "),
        ('resize = { kind = "crop" }', "one of native, scale_by, .*letterbox, pose_affine; got 'crop'"),
        ("resize = 3", "a resize is a table with a kind"),
        ('resize = { kind = "scale_by" }', "resize.scale_by.factor: this key is missing"),
        ('resize = { kind = "scale_by", factor = 0 }', "above 0 and finite, got 0"),
        ('resize = { kind = "scale_by", factor = 1e308 }', "above 0 and finite"),
        ('resize = { kind = "scale_by", factor = -inf }', "above 0 and finite"),
        ('resize = { kind = "letterbox", size_hw = [64] }', "must be a list of more than 1 values"),
        (NATIVE + "pad_multiple = 1.5", "must be a whole number, got 1.5"),
        (NATIVE + "divisor = nan", "^(?!.*Input should)"),
        (NATIVE + "pad_multiple = 0", "^(?!.*Input should)"),
    ],
)
def test_wrong_values_are_named_in_plain_words(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadConfigError, match=message):
        read(tmp_path, text).model("x")


def test_a_letterbox_can_be_typed() -> None:
    assert spec_file.parse_resize("letterbox:640x480") == Letterbox((640, 480))
    for text in ("scale:inf", "scale:0", "scale:nan"):
        with pytest.raises(BadConfigError):
            spec_file.parse_resize(text)
    assert spec_file.parse_resize("scale:0.5") == ScaleBy(0.5)


@pytest.mark.parametrize(
    ("given", "channels", "meant"),
    [
        *(((0.5,), 3, (0.5, 0.5, 0.5)), ((0.5, 0.5), 3, (0.5, 0.5, 0.5)), ((1.0, 2.0), 2, (1.0, 2.0))),
        *(((0.5, 0.5, 0.5), 1, (0.5,)), ((0.5,), 1, (0.5,)), ((1.0, 2.0, 3.0), 4, None), ((1.0, 2.0), 3, None)),
    ],
)
def test_one_number_stands_for_every_channel_and_several_for_as_many(
    given: tuple[float, ...], channels: int, meant: tuple[float, ...] | None
) -> None:
    rule = Preprocess(Native(), mean=given, std=(2.0,))
    if meant is None:
        with pytest.raises(BadConfigError, match="mean needs"):
            rule.for_channels(channels)
        return
    found = rule.for_channels(channels)
    assert found.mean == meant and found.std == (2.0,) * channels


@pytest.mark.parametrize("multiple", [2, 32])
def test_a_pose_network_pads_by_its_own_multiple_only(multiple: int) -> None:
    """Two multiples would pad twice, and move every joint."""
    resize = PoseAffine(64)
    with pytest.raises(BadConfigError, match="pad_multiple"):
        Preprocess(resize, pad_multiple=multiple)
    assert Preprocess(resize).pad_multiple == 1


@pytest.mark.parametrize("mean", [(-1.0, 100.0, 100.0), (100.0, 100.0, 256.0)])
def test_one_mean_that_lies_outside_of_all_values_is_remarked(mean: tuple[float, ...]) -> None:
    (remark,) = Preprocess(Native(), mean=mean, std=(50.0,)).remarks()
    assert "mean " in remark and "outside of the values 0..255" in remark
    assert not Preprocess(Native(), mean=(0.0, 100.0, 255.0), std=(50.0,)).remarks()
