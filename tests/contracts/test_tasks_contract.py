"""What holds for every task: what was encoded for a network comes back in the image's pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import seeded_people
import tiny_artifacts
from PIL import Image

from densecast import plugins
from densecast.datasets import _coco_annotations
from densecast.errors import BadGraphError
from densecast.spec.prediction import SegmentationMap
from densecast.spec.preprocess import KeepRatio, Native, Preprocess, Resize, ScaleBy, Stretch
from densecast.spec.sample import AnnotatedPoses
from densecast.tasks import pose, segmentation

SPEC = tiny_artifacts.spec()


def test_every_task_has_what_the_pipeline_and_the_report_call() -> None:
    for name in plugins.names("tasks"):
        module = plugins.load("tasks", name)
        assert all(
            callable(getattr(module, ability)) for ability in ("decode", "decode_views", "truth", "draw", "save")
        )


def test_ground_truth_of_people_is_drawn_where_it_is_marked() -> None:
    document, _ = seeded_people.images()
    entry = document["images"][2]
    annotated = _coco_annotations.parse(document).people[entry["id"]]
    people = pose.truth(annotated)
    np.testing.assert_array_equal(people.score, annotated.visibility > 0)
    image = np.full((entry["height"], entry["width"], 3), 90, np.uint8)
    drawn = pose.draw(image, people, tiny_artifacts.pose_spec())
    assert drawn.shape == image.shape and (image == 90).all()
    marked = annotated.xy_px[annotated.visibility > 0].astype(int)
    inside = marked[(marked > 0).all(axis=1) & (marked < (entry["width"], entry["height"])).all(axis=1)]
    assert (drawn[inside[:, 1], inside[:, 0]] != 90).any(axis=1).all()
    nobody = AnnotatedPoses(
        1,
        *(
            array[:0]
            for array in (
                annotated.xy_px,
                annotated.visibility,
                annotated.area_px,
                annotated.box_xywh_px,
                annotated.is_crowd,
            )
        ),
    )
    np.testing.assert_array_equal(pose.draw(image, pose.truth(nobody), tiny_artifacts.pose_spec()), image)


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
    wanted = blocks(image_hw)
    found = segmentation.decode(encoded(blocks(placement.content_hw)), placement, SPEC).class_id
    assert (found.shape, found.dtype) == (image_hw, np.uint8)
    # Only pixels at a block's edge may go either way: within a network pixel of it on either side.
    reach = 1 + max(1, round(1 / min(placement.scale_xy)))
    inner = np.ones(image_hw, bool)
    for axis in (0, 1):
        edges = np.flatnonzero(np.diff(wanted, axis=axis).any(axis=1 - axis))
        for edge in edges:
            span = slice(max(0, edge - reach + 1), edge + 1 + reach)
            inner[span if axis == 0 else slice(None), slice(None) if axis == 0 else span] = False
    assert inner.mean() > 0.5
    np.testing.assert_array_equal(found[inner], wanted[inner])


def test_in_the_networks_frame_labels_stay_as_they_are() -> None:
    placement = ScaleBy(0.5).place((80, 120))
    labels = blocks((40, 60))
    np.testing.assert_array_equal(segmentation.decode(encoded(labels), placement, SPEC, "network").class_id, labels)


@pytest.mark.parametrize("shape", [(3, 40, 60), (40, 60), (1, 2, 40, 60)])
def test_another_number_of_classes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadGraphError, match="expected logits"):
        segmentation.decode(np.zeros(shape, np.float32), ScaleBy(0.5).place((80, 120)), SPEC)


def test_saved_labels_are_read_back_equal(tmp_path: Path) -> None:
    labels = blocks((33, 47))
    path = segmentation.save(tmp_path / "a.b", SegmentationMap(labels))
    assert path == tmp_path / "a.b.png"
    with Image.open(path) as stored:
        assert stored.mode == "L"
        np.testing.assert_array_equal(np.asarray(stored), labels)


def test_drawing_colours_the_class_outlines_it_and_leaves_the_rest() -> None:
    image = np.full((40, 60, 3), 100, np.uint8)
    labels = np.zeros((40, 60), np.uint8)
    labels[10:20, 10:20] = 1
    drawn = segmentation.draw(image, SegmentationMap(labels), SPEC)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert (drawn[30:, 30:] == 100).all()
    np.testing.assert_array_equal(drawn[15, 15], (np.array(SPEC.palette[1]) + 100) // 2)
    assert (drawn[10, 12] == 255).all()
