"""For each metric of the package: a spec, images with predictions and ground truth, and images predicted perfectly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import seeded_people
import tiny_specs

from densecast.datasets import _coco_annotations
from densecast.spec.model import ModelSpec
from densecast.tasks.monocular_depth import DepthMap
from densecast.tasks.multilabel import MultilabelMap, MultilabelTarget
from densecast.tasks.pose import Poses
from densecast.tasks.segmentation import SegmentationMap

Image = tuple[str, Any, Any]


@dataclass(frozen=True)
class MetricCase:
    """`perfect` makes the images with perfect predictions of `images`' own; None: ground truth as it is."""

    spec: ModelSpec
    images: Callable[[], list[Image]]
    perfect: Callable[[list[Image]], list[Image]] | None = None
    extra: str | None = None


def binary_masks() -> list[Image]:
    """Five masks of differing sizes and their noisy predictions."""
    rng = np.random.default_rng(0)
    images: list[Image] = []
    for index in range(5):
        target = (rng.random((12 + index, 17)) < 0.1 + 0.15 * index).astype(np.uint8)
        flips = rng.random(target.shape) < 0.2
        images.append((f"{index}", SegmentationMap(target ^ flips.astype(np.uint8)), target))
    return images


def label_maps() -> list[Image]:
    """Five maps of the tiny model's two classes, some pixels of which are not to be counted."""
    rng = np.random.default_rng(1)
    return [
        (name, prediction, np.where(rng.random(target.shape) < 0.1, 255, target).astype(np.uint8))
        for name, prediction, target in binary_masks()
    ]


def people() -> list[Image]:
    """Images of people, medium and large, found well and badly."""
    document, found = seeded_people.images()
    annotated = _coco_annotations.parse(document).people
    return [(f"{each.image_id:012d}", each.people, annotated[each.image_id]) for each in found]


def perfect_people(images: list[Image]) -> list[Image]:
    """Everybody with a joint is found where they are, but for an image of more people than COCO looks at."""
    perfect: list[Image] = []
    for name, _, target in images:
        score = (target.visibility > 0).astype(np.float32)
        if len(score) <= 20:
            perfect.append((name, Poses(target.xy_px.astype(np.float32), score, score.mean(axis=1)), target))
    return perfect


def depth_maps() -> list[Image]:
    """Five depth maps with unknown pixels, and predictions that are off by some percent."""
    rng = np.random.default_rng(2)
    images: list[Image] = []
    for index in range(5):
        target = rng.uniform(1, 30, (10 + index, 13)).astype(np.float32)
        found = (target * rng.normal(1, 0.1, target.shape)).astype(np.float32)
        target[rng.random(target.shape) < 0.2] = 0
        images.append((f"{index}", DepthMap(found), target))
    return images


def bits() -> list[Image]:
    """Five images of three classes, some bits of which are predicted wrongly."""
    rng = np.random.default_rng(3)
    images: list[Image] = []
    for index in range(5):
        target = rng.random((3, 10 + index, 13)) < 0.3
        images.append((f"{index}", MultilabelMap(target ^ (rng.random(target.shape) < 0.1)), MultilabelTarget(target)))
    return images


CASES = {
    "coco_keypoints": MetricCase(tiny_specs.pose(), people, perfect_people, extra="pycocotools"),
    "dice": MetricCase(tiny_specs.segmentation(), binary_masks),
    "iou": MetricCase(tiny_specs.segmentation(), label_maps),
    "monocular_depth": MetricCase(tiny_specs.depth(), depth_maps),
    "multilabel_iou": MetricCase(tiny_specs.multilabel(), bits),
}
