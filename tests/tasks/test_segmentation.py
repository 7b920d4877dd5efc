"""Drawing of label maps with and without a background, and of pixels that are no class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import tiny_artifacts
import tiny_graphs
from made_pictures import picture
from PIL import Image

from densecast.pipeline import Pipeline
from densecast.spec.augment import Augment
from densecast.spec.prediction import SegmentationMap
from densecast.spec.preprocess import FitInto, Preprocess
from densecast.tasks import segmentation
from densecast.verbs.builder import build

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


def test_views_of_a_surrounded_image_meet_where_the_image_is(tmp_path: Path) -> None:
    # Brightness is told pixel by pixel, so a view that lay elsewhere would show; grey 128 is not bright.
    preprocess = Preprocess(FitInto((40, 48), (200.0, 200.0, 200.0)))
    built = build(tiny_artifacts.exported(tmp_path, tiny_graphs.brightness(), preprocess), tmp_path / "built")
    image = picture((80, 60))
    image[:, :30] //= 3
    with Pipeline.open(built) as plain:
        wanted = plain(image)
    with Pipeline.open(built, augment=Augment(flip=True)) as mirrored:
        found = mirrored(image)
    assert isinstance(wanted, SegmentationMap) and isinstance(found, SegmentationMap)
    assert wanted.class_id.shape == (80, 60) and 0 < wanted.class_id.mean() < 1
    np.testing.assert_array_equal(found.class_id, wanted.class_id)


def test_colours_of_classes_are_written_as_rgb(tmp_path: Path) -> None:
    spec = replace(tiny_artifacts.spec(), palette=COLOURS)
    class_id = np.array([[0, 1], [1, 255]], np.uint8)
    path = segmentation.save_colour(tmp_path / "it", SegmentationMap(class_id), spec)
    assert path.name == "it_colour.png"
    assert np.asarray(Image.open(path)).tolist() == [[[200, 0, 0], [0, 200, 0]], [[0, 200, 0], [0, 0, 0]]]
