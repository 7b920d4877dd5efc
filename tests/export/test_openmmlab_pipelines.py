"""Test pipelines of MMSegmentation make the same network inputs, bit by bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from openmmlab_pipelines import PIPELINES, SIZES_HW, image

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
