"""A resize to the next multiple behind another resize: OpenCV's own two interpolations, and MMCV's sizes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from densecast.errors import BadConfigError
from densecast.imaging.prepare import prepare
from densecast.io import codec
from densecast.spec.preprocess import KeepRatio, Native, Preprocess, ScaleBy, Stretch, ToMultiple


@pytest.mark.parametrize("image_hw", [(97, 131), (131, 97), (64, 128), (33, 300)])
def test_both_interpolations_are_opencvs(image_hw: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*image_hw, 3), np.uint8)
    rule = Preprocess(ToMultiple(32, KeepRatio(200, 90)), mean=(0.0,), std=(1.0,))
    factor = min(200 / max(image_hw), 90 / min(image_hw))
    height, width = (int(side * factor + 0.5) for side in image_hw)
    once = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    height, width = (-(-side // 32) * 32 for side in (height, width))
    twice = cv2.resize(once, (width, height), interpolation=cv2.INTER_LINEAR)
    got, placement = prepare(image, rule)
    assert placement.model_hw == (height, width) and not placement.is_padded
    np.testing.assert_array_equal(got, twice.transpose(2, 0, 1).astype(np.float32))


def test_sides_that_are_multiples_stay() -> None:
    assert ToMultiple(16).place((64, 80)).model_hw == (64, 80)
    assert ToMultiple(16).place((65, 80)).model_hw == (80, 80)


def test_a_ratio_is_the_first_rules() -> None:
    assert ToMultiple(32, KeepRatio(200, 100)).scaled(0.5) == ToMultiple(32, KeepRatio(100, 50))
    assert ToMultiple(32).scaled(0.5) == ToMultiple(32, ScaleBy(0.5))


def test_it_is_written_and_read_again() -> None:
    rule = Preprocess(ToMultiple(32, Stretch((100, 50))), mean=(0.0,), std=(1.0,))
    assert codec.from_plain(codec.to_plain(rule), Preprocess, "here") == rule
    short = {"resize": {"kind": "to_multiple", "multiple": 8}, "mean": [0], "std": [1]}
    assert codec.from_plain(short, Preprocess, "here").resize == ToMultiple(8, Native())


@pytest.mark.parametrize("first", [{"kind": "letterbox", "size_hw": [8, 8]}, {"kind": "to_multiple", "multiple": 8}])
def test_only_rules_without_padding_go_before_it(first: dict[str, object]) -> None:
    with pytest.raises(BadConfigError, match="native, scale_by, stretch, keep_ratio, short_side"):
        codec.from_plain({"resize": {"kind": "to_multiple", "multiple": 8, "first": first}}, Preprocess, "here")


def test_the_multiple_is_bounded() -> None:
    with pytest.raises(BadConfigError, match="1 to 4096"):
        ToMultiple(0)
