"""The score of a mixture of images is that of counts which hold each image so many times."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import seeded_people
import tiny_specs

from densecast.datasets import _coco_annotations
from densecast.metrics.coco_keypoints import CocoKeypoints
from densecast.metrics.dice import Dice
from densecast.metrics.iou import IntersectionOverUnion
from densecast.metrics.monocular_depth import MonocularDepth
from densecast.metrics.multilabel_iou import MultilabelIou
from densecast.tasks.monocular_depth import DepthMap
from densecast.tasks.multilabel import MultilabelMap, MultilabelTarget
from densecast.tasks.pose import AnnotatedPoses, Poses
from densecast.tasks.segmentation import SegmentationMap

# The last holds nothing but the image that lacks a class.
WEIGHTS = np.array([[1, 1, 1, 1], [0, 3, 1, 0], [4, 0, 0, 0], [0, 0, 1, 2], [0, 0, 0, 4]])


@pytest.mark.parametrize("metric", [IntersectionOverUnion(), Dice()])
def test_resampled_equals_counting_again(metric: Any) -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, (4, 12, 10)).astype(np.uint8)
    predicted = np.where(rng.random(targets.shape) < 0.8, targets, 1 - targets).astype(np.uint8)
    targets[2, :3] = 255
    predicted[3], targets[3] = 0, 0  # a class that is nowhere in this image
    spec = tiny_specs.segmentation()

    def count(name: str, index: int) -> Any:
        return metric.count(name, SegmentationMap(predicted[index]), targets[index], spec)

    expected = []
    for weights in WEIGHTS.tolist():
        again = [count(f"{index} {turn}", index) for index, times in enumerate(weights) for turn in range(times)]
        expected.append(metric.score(again, spec).value)
    whole = [count(str(index), index) for index in range(4)]
    np.testing.assert_allclose(metric.resampled(whole, WEIGHTS, spec), expected, rtol=1e-12)


def test_bits_of_images_that_lack_a_class_are_resampled_as_counting_their_pixels_again() -> None:
    rng = np.random.default_rng(1)
    there = rng.random((4, 3, 6, 5)) < 0.4
    found = there ^ (rng.random(there.shape) < 0.2)
    there[3, 1:], found[3, 1:] = False, False  # in the last image two of three classes are nowhere
    spec, metric = tiny_specs.multilabel(), MultilabelIou()
    counts = [
        metric.count(str(index), MultilabelMap(found[index]), MultilabelTarget(there[index]), spec)
        for index in range(4)
    ]
    expected = []
    for weights in WEIGHTS:
        both, either = (
            (each.sum(axis=(2, 3)) * weights[:, None]).sum(axis=0) for each in (found & there, found | there)
        )
        expected.append(np.mean(both[either > 0] / either[either > 0]))
    np.testing.assert_allclose(metric.resampled(counts, WEIGHTS, spec), expected, rtol=1e-12)
    # The whole once: three classes of which no two are found equally well, so that no mean is a median.
    both, either, each = (
        np.float64(planes.sum(axis=(0, 2, 3))) for planes in (found & there, found | there, found.astype(int) + there)
    )
    score, dice = metric.score(counts, spec), 2 * both / each
    assert len({round(value, 3) for value in both / either}) == 3
    assert score.value == pytest.approx(np.mean(both / either)) and score.count == 4
    assert score.others["mDice"] == pytest.approx(np.mean(dice))
    assert score.others["IoU_micro"] == pytest.approx(both.sum() / either.sum())


def test_where_nobody_is_found_the_precision_is_0_unless_nobody_is_there() -> None:
    pytest.importorskip("pycocotools")
    metric, spec = CocoKeypoints(), tiny_specs.pose()
    document, found = seeded_people.images(0)
    annotated = _coco_annotations.parse(document).people
    nobody = Poses(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32), np.zeros(0, np.float32))
    # Nobody is annotated in the first image, three people in the third.
    counts = [metric.count(str(place), nobody, annotated[found[place].image_id], spec) for place in (0, 2)]
    values = metric.resampled(counts, np.array([[1, 1], [3, 0], [0, 2]]), spec)
    np.testing.assert_array_equal(values, [0, np.nan, 0])


def test_depth_of_an_image_without_a_known_pixel_is_in_no_mean() -> None:
    spec, metric = tiny_specs.depth(), MonocularDepth()
    errors = [0.5, 0.25, 0.0]
    counts = [
        metric.count(str(index), DepthMap(np.full((2, 2), 1 + error, np.float32)), np.ones((2, 2), np.float32), spec)
        for index, error in enumerate(errors)
    ]
    counts.append(metric.count("3", DepthMap(np.ones((2, 2), np.float32)), np.zeros((2, 2), np.float32), spec))
    expected = [np.dot(row[:3], errors) / row[:3].sum() if row[:3].any() else np.nan for row in WEIGHTS]
    np.testing.assert_allclose(metric.resampled(counts, WEIGHTS, spec), expected, rtol=1e-12)
    assert np.isnan(expected[-1])


def test_average_precision_is_cocos_own_of_images_listed_so_many_times() -> None:
    pytest.importorskip("pycocotools")
    metric, spec = CocoKeypoints(), tiny_specs.pose()
    document, found = seeded_people.images(0)
    annotated = _coco_annotations.parse(document).people
    weights = np.random.default_rng(0).multinomial(len(found), np.full(len(found), 1 / len(found)), size=6)
    weights = np.concatenate([np.ones((1, len(found)), np.int64), weights, [[1] + [0] * (len(found) - 1)]])
    whole = [metric.count(str(each.image_id), each.people, annotated[each.image_id], spec) for each in found]
    expected = []
    for times in weights:
        again = []
        for index, each in enumerate(np.repeat(np.arange(len(found)), times)):
            one = found[each]
            target = replace(annotated[one.image_id], image_id=index + 1)
            again.append(metric.count(str(index), one.people, target, spec))
        expected.append(metric.score(again, spec).value)
    # Whatever order the counts come in.
    for order in (np.arange(len(found)), np.arange(len(found))[::-1]):
        values = metric.resampled([whole[index] for index in order], weights[:, order], spec)
        np.testing.assert_allclose(values, expected, rtol=1e-9)
    assert np.isnan(expected[-1]) and np.isfinite(expected[:-1]).all()


def test_of_equal_scores_whoever_comes_first_is_counted_first_as_by_cocos_own_code() -> None:
    """Fifty people of three scores over ten images: half of them are right, and precision depends on their order."""
    pytest.importorskip("pycocotools")
    rng = np.random.default_rng(3)
    metric, spec = CocoKeypoints(), tiny_specs.pose()
    counts = []
    for index in range(10):
        there = rng.uniform(0, 100, (5, 17, 2)) + 300 * np.arange(5)[:, None, None]
        found = np.where(rng.random((5, 1, 1)) < 0.5, there, there + 9000).astype(np.float32)
        scores = rng.choice(np.array([0.25, 0.5, 0.75], np.float32), 5)
        poses = Poses(found, np.ones((5, 17), np.float32), scores)
        boxes = np.concatenate([there.min(axis=1), np.ptp(there, axis=1)], axis=1)
        visible = np.full((5, 17), 2, np.uint8)
        target = AnnotatedPoses(index, there, visible, np.full(5, 9000.0), boxes, np.zeros(5, np.bool_))
        counts.append(metric.count(f"{index}", poses, target, spec))
    found = metric.resampled(counts, np.ones((1, 10), np.int64), spec)
    assert found[0] == pytest.approx(metric.score(counts, spec).value, rel=1e-12)
