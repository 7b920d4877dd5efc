"""Planes that sliding windows give are put together to the picture alone, without the padding around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_specs

from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.slide import Slide
from densecast.tasks.monocular_depth import MonocularDepthDecode, MonocularDepthTask

# Input, content, its place from the left and above; windows of 60 every 40.
PLACES = [
    ((100, 70), (70, 20), (3, 5)),  # ends within the last rows that are handed on
    ((200, 60), (130, 60), (0, 70)),  # begins after rows that are padding alone
    ((200, 60), (60, 31), (29, 0)),  # rows of padding alone after it
]


@pytest.mark.parametrize(("model_hw", "content_hw", "offset_xy"), PLACES)
def test_padding_around_the_picture_is_left_out_wherever_it_lies(
    model_hw: tuple[int, int], content_hw: tuple[int, int], offset_xy: tuple[int, int]
) -> None:
    whole = np.random.default_rng(0).uniform(1, 9, (1, *model_hw)).astype(np.float32)
    slide = Slide((60, 60), (40, 40))
    spec = replace(tiny_specs.depth(MonocularDepthDecode()), slide=slide)
    placement = Placement.resized(content_hw, content_hw, model_hw=model_hw, offset_xy=offset_xy)
    views = [View(placement, False, 1.0, window) for window in slide.windows(model_hw)]
    joiner = MonocularDepthTask().joiner(views, spec)
    for view in views:
        window = view.window
        assert window is not None
        joiner.add({"depth": whole[:, window.top : window.bottom, window.left : window.right]})
    (left, top), (height, width) = offset_xy, content_hw
    found = joiner.prediction().values
    np.testing.assert_allclose(found, whole[0, top : top + height, left : left + width], rtol=1e-6)
