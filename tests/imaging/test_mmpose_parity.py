"""Inputs of pose networks are those of MMPose's test pipeline, bit for bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_images import picture

from densecast.errors import BadConfigError, BadShapeError
from densecast.imaging.prepare import prepare
from densecast.spec.preprocess import PoseAffine, Preprocess, ScaleBy

# Made by parity/make_pose_input_goldens.py with MMPose 0.29.0 and OpenCV 4.11.
GOLDENS = json.loads((Path(__file__).parents[1] / "golden" / "pose_inputs.json").read_text(encoding="utf-8"))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda each: f"{each['image_hw']}-{each['scales']}-{each['unbiased']}")
def test_inputs_are_mmposes_to_the_last_bit(golden: dict[str, Any]) -> None:
    height, width = golden["image_hw"]
    image = np.random.RandomState(height * 10007 + width).randint(0, 256, (height, width, 3)).astype(np.uint8)
    resize = PoseAffine(golden["short_side"], unbiased=golden["unbiased"])
    usual = Preprocess(resize, mean=MEAN, std=STD, divisor=255.0)
    found = [prepare(image, each)[0] for each in usual.at_ratios(golden["scales"])]
    assert [[1, *array.shape] for array in found] == golden["shapes"]
    assert [hashlib.sha256(array.tobytes()).hexdigest() for array in found] == golden["sha256"]


def test_what_is_outside_the_image_is_black_before_normalisation() -> None:
    image = np.full((100, 101, 3), 200, np.uint8)
    array, placement = prepare(image, Preprocess(PoseAffine(128), mean=MEAN, std=STD, divisor=255.0))
    assert placement.model_hw == (128, 192)
    black = (np.float32(0) - np.float32(MEAN)) / np.float32(STD)
    np.testing.assert_array_equal(array[:, 5, 2], black)
    np.testing.assert_array_equal(
        array[:, 64, 96], (np.float32(200) / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    )


def test_the_divisor_is_no_shorthand_for_a_larger_mean() -> None:
    image = picture((64, 64))
    exact, _ = prepare(image, Preprocess(PoseAffine(64), mean=MEAN, std=STD, divisor=255.0))
    mean, std = (tuple(value * 255 for value in values) for values in (MEAN, STD))
    near, _ = prepare(image, Preprocess(PoseAffine(64), mean=mean, std=std))  # type: ignore[arg-type]
    # A few units in the last place of values below 3.
    np.testing.assert_allclose(exact, near, rtol=0, atol=2e-6)
    assert (exact != near).any()


def test_bytes_stay_bytes() -> None:
    image = picture((64, 64))
    array, _ = prepare(image, Preprocess(PoseAffine(64), std=1.0, divisor=255.0), dtype="uint8")
    np.testing.assert_array_equal(array, image.transpose(2, 0, 1))


@pytest.mark.parametrize("divisor", [0.0, -1.0, float("nan")])
def test_a_divisor_that_is_none_is_refused(divisor: float) -> None:
    with pytest.raises(BadConfigError, match="divisor"):
        Preprocess(ScaleBy(0.5), divisor=divisor)


def test_a_sliver_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(BadShapeError, match="32766"):
        prepare(np.zeros((2, 60000, 3), np.uint8), Preprocess(PoseAffine(512)))
