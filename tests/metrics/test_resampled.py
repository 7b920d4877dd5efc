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
