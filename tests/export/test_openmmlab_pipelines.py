"""Test pipelines of MMSegmentation make the same network inputs, bit by bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openmmlab_pipelines import PIPELINES, SIZES_HW, image

from densecast.errors import BadConfigError
from densecast.imaging.prepare import prepare
from densecast.spec.augment import Augment
from densecast.verbs.export.openmmlab import pipeline

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "openmmlab_pipelines.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PIPELINES)
def test_inputs_are_the_originals_bit_by_bit(name: str) -> None:
    preprocess, augment, _ = pipeline.translate(PIPELINES[name])
    for size_hw in SIZES_HW:
        views = []
        for each in preprocess.at_ratios(augment.ratios):
            made, _ = prepare(image(size_hw), each)
            views += [made, made[:, :, ::-1]] if augment.flip else [made]
        got = [[list(view.shape), hashlib.sha256(np.ascontiguousarray(view).tobytes()).hexdigest()] for view in views]
        assert got == GOLDEN[f"{name} {size_hw[0]}x{size_hw[1]}"]


def test_the_views_that_are_averaged_are_read_but_not_made_the_default() -> None:
    assert pipeline.translate(PIPELINES["ratios"])[1] == Augment((0.5, 1.0, 1.75), flip=True)
    assert pipeline.translate(PIPELINES["cityscapes"])[1].is_plain


LOAD: dict[str, Any] = {"type": "LoadImageFromFile"}
RESIZE: dict[str, Any] = {"type": "Resize", "img_scale": (128, 64), "keep_ratio": True}
NORMALISE: dict[str, Any] = {"type": "Normalize", "mean": [1, 2, 3], "std": [4, 5, 6]}
PAD: dict[str, Any] = {"type": "Pad", "size_divisor": 32}
MULTIPLE: dict[str, Any] = {"type": "ResizeToMultiple"}
LATER: dict[str, Any] = {"type": "SegDataPreProcessor", "mean": [1, 2, 3], "std": [4, 5, 6], "bgr_to_rgb": True}


@pytest.mark.parametrize(
    ("transforms", "said"),
    [
        ([LOAD, NORMALISE, RESIZE], "Resize behind Normalize"),
        ([LOAD, PAD, RESIZE, NORMALISE], "Resize behind Pad"),
        ([LOAD, NORMALISE, MULTIPLE], "ResizeToMultiple behind Normalize"),
        ([LOAD, RESIZE, PAD, MULTIPLE, NORMALISE], "ResizeToMultiple behind Pad"),
        ([LOAD, RESIZE, MULTIPLE, MULTIPLE, NORMALISE], "behind to_multiple"),
        ([LOAD, RESIZE, MULTIPLE | {"size_divisor": (16, 32)}, NORMALISE], "size_divisor"),
        ([LOAD, RESIZE, MULTIPLE | {"interpolation": "nearest"}, NORMALISE], "interpolation"),
        ([LOAD, RESIZE, PAD, PAD, NORMALISE], "pads twice"),
        ([LOAD, RESIZE, NORMALISE, NORMALISE], "normalises twice"),
        ([LOAD | {"to_float32": True}, RESIZE, NORMALISE], "to_float32"),
        ([LOAD, RESIZE, NORMALISE | {"mean": "grey"}], "mean must be numbers"),
        ([LOAD, RESIZE, PAD | {"pad_val": "black"}, NORMALISE], "must be numbers"),
        ([LOAD, RESIZE, PAD | {"pad_val": {"img": None}}, NORMALISE], "must be numbers"),
        ([LOAD, RESIZE, PAD | {"pad_val": (1, 2)}, NORMALISE], "one number or three"),
        ([{"type": "MultiScaleFlipAug", "img_scale": [3, (4, 5)], "transforms": []}], "width and height"),
        ([{"type": "MultiScaleFlipAug", "img_ratios": ["half"], "transforms": []}], "img_ratios must be numbers"),
        ([{"type": "MultiScaleFlipAug", "img_ratios": [0.0], "transforms": []}], "img_ratios must be above 0"),
        ([{"type": "MultiScaleFlipAug", "img_scale": (2, 1), "transforms": 5}], "transforms must be a list"),
    ],
)
def test_what_would_give_other_inputs_is_refused_by_name(transforms: list[Any], said: str) -> None:
    with pytest.raises(BadConfigError, match=said):
        pipeline.translate(transforms)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"bgr_to_rgb": True, "rgb_to_bgr": True}, "bgr_to_rgb and by rgb_to_bgr"),
        ({"test_cfg": 5}, "test_cfg = 5"),
        ({"test_cfg": {"size": (64, 64)}}, "cannot be expressed"),
        ({"test_cfg": {"size_divisor": 32}, "pad_val": 7}, "pad_val=7"),
        ({"std": None}, "data_preprocessor.std must be numbers"),
    ],
)
def test_a_data_preprocessor_that_cannot_be_expressed_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfigError, match=said):
        pipeline.translate([LOAD, RESIZE], LATER | change)


def test_networks_that_normalise_themselves_are_given_nothing_normalised() -> None:
    with pytest.raises(BadConfigError, match="data_preprocessor does, too"):
        pipeline.translate([LOAD, RESIZE, NORMALISE], LATER)


def test_each_generation_pads_with_its_own_reading_of_one_number() -> None:
    grey = np.full((40, 50, 3), 9, np.uint8)
    for later, first_rgb in ((None, (0, 0, 7)), (LATER | {"mean": None}, (7, 7, 7))):
        transforms = [LOAD, PAD | {"pad_val": 7}]
        preprocess, _, notes = pipeline.translate(transforms, later)
        made, _ = prepare(grey, preprocess)
        order = 1 if preprocess.colour == "RGB" else -1
        assert tuple(made[:, -1, -1][::order]) == first_rgb and made.shape == (3, 64, 64)
        assert bool(notes) == (later is not None)
