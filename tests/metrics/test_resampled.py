"""The score of a mixture of images is that of an accumulator which was given each image so many times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import seeded_people
import tiny_artifacts

from densecast.datasets import _coco_annotations
from densecast.metrics import coco_keypoints, dice, iou
from densecast.spec.prediction import SegmentationMap

WEIGHTS = np.array([[1, 1, 1, 1], [0, 3, 1, 0], [4, 0, 0, 0], [0, 0, 1, 2]])


@pytest.mark.parametrize("metric", [iou, dice])
def test_resampled_equals_counting_again(metric: object) -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, (4, 12, 10)).astype(np.uint8)
    found = np.where(rng.random(targets.shape) < 0.8, targets, 1 - targets).astype(np.uint8)
    targets[2, :3] = 255
    found[3], targets[3] = 0, 0  # a class that is nowhere in this image
    spec = tiny_artifacts.spec()
    whole = metric.accumulator(spec)  # type: ignore[attr-defined]
    for index in range(4):
        whole.add(str(index), SegmentationMap(found[index]), targets[index])
    expected = []
    for weights in WEIGHTS:
        again = metric.accumulator(spec)  # type: ignore[attr-defined]
        for index, times in enumerate(weights.tolist()):
            for turn in range(times):
                again.add(f"{index} {turn}", SegmentationMap(found[index]), targets[index])
        expected.append(again.score().value)
    np.testing.assert_allclose(whole.resampled(WEIGHTS), expected, rtol=1e-12)


def test_average_precision_is_cocos_own_of_images_listed_so_many_times() -> None:
    pytest.importorskip("pycocotools")
    document, found = seeded_people.images(0)
    annotated = _coco_annotations.parse(document).people
    weights = np.random.default_rng(0).multinomial(len(found), np.full(len(found), 1 / len(found)), size=6)
    weights = np.concatenate([np.ones((1, len(found)), np.int64), weights, [[1] + [0] * (len(found) - 1)]])
    whole = coco_keypoints.Accumulator()
    for each in found:
        whole.add(str(each.image_id), each.people, annotated[each.image_id])
    expected = []
    for times in weights:
        again = coco_keypoints.Accumulator()
        for index, each in enumerate(np.repeat(np.arange(len(found)), times)):
            one = found[each]
            again.add(str(index), one.people, replace(annotated[one.image_id], image_id=index + 1))
        expected.append(again.score().value)
    np.testing.assert_allclose(whole.resampled(weights), expected, rtol=1e-9)
    assert np.isnan(expected[-1]) and np.isfinite(expected[:-1]).all()
