"""What a metric's counts tell of the ground truth is what lies in the masks: by class, not evaluated, of no class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_specs

from densecast.errors import UsageError
from densecast.measure import truth_check
from densecast.metrics._base import TruthSummary
from densecast.metrics.dice import Dice
from densecast.metrics.iou import IntersectionOverUnion
from densecast.tasks.segmentation import SegmentationMap

LABELS = ("ground", "house", "tree")
# By image: pixels of each label. 255 is not evaluated, 3 and 9 are no class; the last image has classes alone.
PIXELS = ({0: 11, 1: 5, 3: 2, 255: 7}, {0: 1, 2: 4, 3: 1, 9: 6, 255: 1}, {0: 3, 1: 2, 2: 1})


def target(pixels: dict[int, int]) -> np.ndarray:
    return np.repeat(np.array(list(pixels), np.uint8), list(pixels.values()))[None]


def test_pixels_by_class_ignored_and_foreign_ones_are_told_apart() -> None:
    metric, spec = IntersectionOverUnion(), tiny_specs.segmentation(LABELS)
    maps = [target(pixels) for pixels in PIXELS]
    counts = [metric.count(str(index), SegmentationMap(each), each, spec) for index, each in enumerate(maps)]
    assert metric.truth(counts, spec) == TruthSummary((15, 7, 5), 8, {3: 3, 9: 6}, 0, 2)
    assert [(count.ignored, count.foreign) for count in counts] == [(7, ((3, 2),)), (1, ((3, 1), (9, 6))), (0, ())]


def test_of_dice_all_labels_but_two_are_foreign() -> None:
    metric, spec = Dice(), tiny_specs.segmentation(LABELS)
    maps = [target(pixels) for pixels in PIXELS]
    counts = [metric.count(str(index), SegmentationMap(each), each, spec) for index, each in enumerate(maps)]
    # Labels 2, 3 and 9 together; beside 255 the second image has of labels 0 and 1 the first alone.
    assert metric.truth(counts, spec) == TruthSummary((15, 7, 0), 8, {2: 14}, 1, 1)
    assert metric.truth(counts[2:], spec).foreign == {2: 1}
    two = tiny_specs.segmentation()
    assert metric.truth([metric.count("a", SegmentationMap(maps[0] * 0), maps[0] * 0, two)], two) == TruthSummary(
        (25, 0), 0, {}
    )


def test_dice_of_more_than_two_classes_is_refused_before_anything_is_measured() -> None:
    Dice().check(tiny_specs.segmentation())
    with pytest.raises(UsageError, match=r"has 3 classes.*Take iou"):
        Dice().check(tiny_specs.segmentation(LABELS))


def test_summaries_of_parts_are_added_label_by_label() -> None:
    left = TruthSummary((1, 2), 3, {7: 4, 8: 1}, 2, 5)
    right = TruthSummary((10, 20), 30, {8: 5, 9: 6}, 4, 7)
    assert left + right == TruthSummary((11, 22), 33, {7: 4, 8: 6, 9: 6}, 6, 12)


@pytest.mark.parametrize("metric", [IntersectionOverUnion(), Dice()])
@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (({0: 9, 255: 3}, {0: 8, 1: 4}, {0: 12}), 1),
        (({0: 9, 255: 3}, {0: 8, 1: 4}, {0: 5, 1: 4, 255: 3}), 0),
        (({0: 9, 1: 3}, {0: 8, 1: 4}), 0),
    ],
    ids=["of two kinds", "not evaluated in both", "nothing left out"],
)
def test_masks_of_0_and_255_among_masks_of_0_and_1_are_remarked(
    metric: Any, pixels: tuple[dict[int, int], ...], told: int
) -> None:
    spec = tiny_specs.segmentation()
    maps = [target(each) for each in pixels]
    counts = [metric.count(str(index), SegmentationMap(each * 0), each, spec) for index, each in enumerate(maps)]
    remarks = truth_check.check(metric.truth(counts, spec), spec.labels)
    assert [each for each in remarks if "1 of the masks hold" in each and "--remap 255=1" in each] == [*remarks]
    assert len(remarks) == told


@pytest.mark.parametrize("classes", [255, 256, 300])
def test_of_many_classes_the_label_that_is_not_evaluated_is_one_beyond_them(classes: int) -> None:
    metric, spec = IntersectionOverUnion(), tiny_specs.segmentation(tuple(f"{index}" for index in range(classes)))
    # With up to 255 classes masks have 8 bits and 255 is no class; beyond, 65535 is.
    not_evaluated = 255 if classes == 255 else 65535
    labels = np.array([[0, 254, classes - 1, not_evaluated, not_evaluated]], np.uint16)
    there = labels.astype(np.uint8) if classes == 255 else labels
    found = np.zeros_like(there)
    count = metric.count("a", SegmentationMap(found), there, spec)
    wanted = np.zeros((3, classes), np.int64)
    wanted[0, 0], wanted[1, 0] = 1, 3
    np.add.at(wanted[2], [0, 254, classes - 1], 1)
    np.testing.assert_array_equal(count.by_class, wanted)
    assert (count.ignored, count.foreign) == (2, ())
