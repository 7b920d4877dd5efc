"""Drawing of label maps with and without a background, and of pixels that are no class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tiny_artifacts

from densecast.core.prediction import SegmentationMap
from densecast.tasks import segmentation

COLOURS = ((200, 0, 0), (0, 200, 0))


def drawn(labels: tuple[str, str], class_id: int) -> list[int]:
    """The colour of a pixel of that class over grey 100."""
    spec = replace(tiny_artifacts.spec(), labels=labels, palette=COLOURS)
    image = np.full((4, 5, 3), 100, np.uint8)
    over = segmentation.draw(image, SegmentationMap(np.full((4, 5), class_id, np.uint8)), spec)
    assert over.shape == image.shape and (over == over[0, 0]).all()
    pixel: list[int] = over[0, 0].tolist()
    return pixel


def test_a_first_class_that_is_no_background_is_coloured() -> None:
    assert drawn(("road", "car"), 0) == [150, 50, 50]
    assert drawn(("background", "car"), 0) == [100, 100, 100]
    assert drawn(("background", "car"), 1) == [50, 150, 50]


def test_what_is_no_class_is_left_as_it_is() -> None:
    assert drawn(("road", "car"), 255) == [100, 100, 100]
