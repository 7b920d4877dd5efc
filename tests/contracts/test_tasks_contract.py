"""What holds for every task: predictions keep to their promises, and what is shown and saved of them works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import seeded_people
import tiny_specs
from contract_cases import case_of
from pose_scenes import Scene, draw

from densecast.datasets import _coco_annotations
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Feeds
from densecast.tasks._base import TASKS
from densecast.tasks.multilabel import MultilabelTarget
from densecast.testing import check_task


@dataclass(frozen=True)
class Case:
    """A model's spec, its outputs for an image of `image_hw`, and that image's ground truth."""

    spec: ModelSpec
    outputs: Callable[[], Feeds]
    target: Callable[[], Any]
    image_hw: tuple[int, int] = (48, 64)


def logits() -> Feeds:
    return {"logits": np.random.default_rng(0).normal(size=(2, 24, 32)).astype(np.float32)}


def labels() -> Any:
    drawn = np.random.default_rng(1).integers(0, 2, (48, 64)).astype(np.uint8)
    drawn[:3] = 255
    return drawn


def maps() -> Feeds:
    """Three people in an image that fills its input."""
    return {"maps": draw(Scene(3, people=3, map_hw=(32, 48), target_hw=(64, 96)))[0][0]}


def people() -> Any:
    document, _ = seeded_people.images()
    return _coco_annotations.parse(document).people[document["images"][2]["id"]]


def several_labels() -> Feeds:
    return {"logits": np.random.default_rng(0).normal(size=(3, 24, 32)).astype(np.float32)}


def bits() -> Any:
    return MultilabelTarget(np.random.default_rng(1).random((3, 48, 64)) < 0.3)


def metres() -> Any:
    depth = np.random.default_rng(1).uniform(1, 40, (48, 64)).astype(np.float32)
    depth[:3] = 0
    return depth


def depth_plane() -> Feeds:
    return {"depth": np.random.default_rng(0).uniform(1, 40, (1, 24, 32)).astype(np.float32)}


CASES = {
    "monocular_depth": Case(tiny_specs.depth(), depth_plane, metres),
    "multilabel": Case(tiny_specs.multilabel(), several_labels, bits),
    "pose": Case(tiny_specs.pose(), maps, people, (128, 192)),
    "segmentation": Case(tiny_specs.segmentation(), logits, labels),
}


@pytest.mark.parametrize("name", TASKS.names())
def test_a_task_passes_all_checks(name: str) -> None:
    case = case_of(CASES, "tasks", name)
    check_task(TASKS.load(name), case.spec, case.outputs(), case.target(), image_hw=case.image_hw)
