"""Labels come back in the image's pixels; they are drawn, and saved, as what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_graphs
import tiny_specs
from made_images import picture
from PIL import Image

from densecast.errors import BadGraphError
from densecast.pipeline import Pipeline
from densecast.spec.augment import Augment
from densecast.spec.preprocess import FitInto, KeepRatio, Native, Preprocess, Resize, ScaleBy, Stretch
from densecast.tasks.segmentation import TASK, SegmentationMap, SegmentationTask
from densecast.tasks.segmentation.postprocess import decode

COLOURS = ((200, 0, 0), (0, 200, 0))
SPEC = tiny_specs.segmentation()


def encoded(labels: np.ndarray) -> np.ndarray:
    """(h, w) of 0 and 1 -> logits (2, h, w) whose largest is the label."""
    return np.stack([labels == 0, labels == 1]).astype(np.float32) * 8 - 4


def blocks(size_hw: tuple[int, int], cells: int = 4) -> np.ndarray:
    y, x = np.mgrid[0 : size_hw[0], 0 : size_hw[1]]
    return ((y * cells // size_hw[0] + x * cells // size_hw[1]) % 2).astype(np.uint8)


@pytest.mark.parametrize("resize", [Native(), ScaleBy(0.5), ScaleBy(2.0), Stretch((64, 96)), KeepRatio(96, 80)])
def test_labels_come_back_in_image_pixels(resize: Resize) -> None:
    image_hw = (80, 120)
    placement = Preprocess(resize).resize.place(image_hw)
    expected = blocks(image_hw)
    class_id = decode(encoded(blocks(placement.content_hw)), placement, SPEC).class_id
    assert (class_id.shape, class_id.dtype) == (image_hw, np.uint8)
    # Only pixels at a block's edge may go either way: within a network pixel of it on either side.
    reach = 1 + max(1, round(1 / min(placement.scale_xy)))
    inner = np.ones(image_hw, bool)
    for axis in (0, 1):
        edges = np.flatnonzero(np.diff(expected, axis=axis).any(axis=1 - axis))
        for edge in edges:
            span = slice(max(0, edge - reach + 1), edge + 1 + reach)
            inner[span if axis == 0 else slice(None), slice(None) if axis == 0 else span] = False
    assert inner.mean() > 0.5
    np.testing.assert_array_equal(class_id[inner], expected[inner])


def test_in_the_networks_frame_labels_stay_as_they_are() -> None:
    placement = ScaleBy(0.5).place((80, 120))
    labels = blocks((40, 60))
    np.testing.assert_array_equal(decode(encoded(labels), placement, SPEC, "network").class_id, labels)


@pytest.mark.parametrize("shape", [(3, 40, 60), (40, 60), (1, 2, 40, 60)])
def test_another_number_of_classes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadGraphError, match="expected logits"):
        decode(np.zeros(shape, np.float32), ScaleBy(0.5).place((80, 120)), SPEC)


def test_saved_labels_are_read_back_equal(tmp_path: Path) -> None:
    labels = blocks((33, 47))
    path = TASK.save(tmp_path / "a.b", SegmentationMap(labels), SPEC)
    assert path == tmp_path / "a.b.png"
    with Image.open(path) as stored:
        assert stored.mode == "L"
        np.testing.assert_array_equal(np.asarray(stored), labels)


def test_drawing_colours_the_class_outlines_it_and_leaves_the_rest() -> None:
    image = np.full((40, 60, 3), 100, np.uint8)
    labels = np.zeros((40, 60), np.uint8)
    labels[10:20, 10:20] = 1
    drawn = TASK.draw(image, SegmentationMap(labels), SPEC)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert (drawn[30:, 30:] == 100).all()
    np.testing.assert_array_equal(drawn[15, 15], (np.array(SPEC.palette[1]) + 100) // 2)
    assert (drawn[10, 12] == 255).all()


def test_difference_is_the_share_of_pixels_of_another_class() -> None:
    left, right = np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.uint8)
    right[0, :3] = 1
    found = TASK.difference(SegmentationMap(left), SegmentationMap(right))
    assert (found.amount, found.weight, found.value, found.reported) == (3, 20, 0.15, 0.15)


def drawn(labels: tuple[str, str], class_id: int) -> list[int]:
    """The colour of a pixel of that class over grey 100."""
    spec = replace(SPEC, labels=labels, palette=COLOURS)
    image = np.full((4, 5, 3), 100, np.uint8)
    over = TASK.draw(image, SegmentationMap(np.full((4, 5), class_id, np.uint8)), spec)
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
    import tiny_artifacts

    from densecast.verbs.builder import build

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
    spec = replace(SPEC, palette=COLOURS)
    class_id = np.array([[0, 1], [1, 255]], np.uint8)
    path = SegmentationTask().save_colour(tmp_path / "it", SegmentationMap(class_id), spec)
    assert path.name == "it_colour.png"
    assert np.asarray(Image.open(path)).tolist() == [[[200, 0, 0], [0, 200, 0]], [[0, 200, 0], [0, 0, 0]]]


def test_scores_are_written_as_16_bits_of_which_the_largest_is_1(tmp_path: Path) -> None:
    probability = np.array([[0.0, 0.25, 0.5], [1 / 3, 0.99999, 1.0]], np.float32)
    TASK.save(tmp_path / "a", SegmentationMap(np.zeros((2, 3), np.uint8), probability), tiny_specs.segmentation())
    with Image.open(tmp_path / "a_score.png") as image:
        found = np.asarray(image)
    np.testing.assert_array_equal(found, [[0, 16384, 32768], [21845, 65534, 65535]])


def test_ground_truth_in_the_networks_frame_has_the_size_that_shows_the_image() -> None:
    placement = FitInto((40, 40)).place((20, 30))
    target = np.arange(600, dtype=np.uint16).reshape(20, 30) // 3
    found = TASK.target_at(target.astype(np.uint8), placement, "network")
    # 20 x 30 fills 27 x 40 of the 40 x 40 that the network sees; the rest is no ground truth.
    assert found.shape == (27, 40)
    expected = np.asarray(Image.fromarray(target.astype(np.uint8)).resize((40, 27), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(found, expected)


def test_the_tensors_are_labels_and_their_probability_where_there_is_one() -> None:
    labels, probability = np.array([[0, 1]], np.uint8), np.array([[0.75, 0.5]], np.float32)
    assert TASK.tensors(SegmentationMap(labels)) == {"class_id": labels}
    found = TASK.tensors(SegmentationMap(labels, probability))
    assert set(found) == {"class_id", "probability"} and found["probability"] is probability
