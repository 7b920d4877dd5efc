"""COCO's average precision of people with other joints than COCO's, by their own sigmas, from files that name them."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_specs
from PIL import Image

from densecast.datasets import coco_keypoints
from densecast.errors import BadDatasetError, BadShapeError, UsageError
from densecast.metrics.coco_keypoints import METRIC
from densecast.spec.data_options import Reading
from densecast.spec.model import ModelSpec
from densecast.tasks.pose import AnnotatedPoses, PoseDecode, Poses
from densecast.tasks.pose.skeleton import Skeleton

HAND = Skeleton(("wrist", "left_thumb", "right_thumb"), (0, 2, 1), ((0, 1),), (0.03, 0.1, 0.02))


def spec(skeleton: Skeleton = HAND) -> ModelSpec:
    return replace(tiny_specs.pose(), decode=PoseDecode(skeleton=skeleton))


def people(seed: int) -> tuple[AnnotatedPoses, Poses]:
    """Annotated people, and predictions that are off by a few pixels."""
    random = np.random.default_rng(seed)
    xy = random.uniform(20, 180, (4, 3, 2)).round(1)
    area = random.uniform(2000, 9000, 4).round()
    boxes = np.concatenate([xy.min(axis=1), np.ptp(xy, axis=1)], axis=1)
    visibility = np.full((4, 3), 2, np.uint8)
    truth = AnnotatedPoses(seed, xy, visibility, area, boxes, np.zeros(4, bool))
    moved = (xy + random.normal(0, 6, xy.shape)).astype(np.float32)
    return truth, Poses(moved, np.full((4, 3), 0.5, np.float32), random.uniform(0.2, 0.9, 4).astype(np.float32))


def by_pycocotools(pairs: list[tuple[AnnotatedPoses, Poses]], sigmas: tuple[float, ...]) -> list[float]:
    coco, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for truth, found in pairs:
        for row in range(len(truth)):
            points = np.concatenate([truth.xy_px[row], truth.visibility[row][:, None]], axis=1)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": truth.image_id, "category_id": 1, "iscrowd": 0,
                 "area": float(truth.area_px[row]), "bbox": truth.box_xywh_px[row].tolist(),
                 "keypoints": points.ravel().tolist(), "num_keypoints": 3}
            )  # fmt: skip
        for row in range(len(found)):
            points = np.concatenate([found.xy_px[row], found.score[row][:, None]], axis=1).astype(float)
            results.append(
                {"image_id": truth.image_id, "category_id": 1, "keypoints": points.ravel().tolist(),
                 "score": float(found.person_score[row])}
            )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        ground = coco.COCO()
        ground.dataset = {"images": [{"id": t.image_id} for t, _ in pairs], "annotations": annotations,
                          "categories": [{"id": 1, "name": "person"}]}  # fmt: skip
        ground.createIndex()
        judged = evaluation.COCOeval(ground, ground.loadRes(results), "keypoints")
        judged.params.kpt_oks_sigmas = np.array(sigmas)
        judged.params.maxDets = [20]
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return [float(value) for value in judged.stats]


@pytest.mark.coco
def test_average_precision_is_cocos_with_the_models_own_sigmas() -> None:
    pairs = [people(seed) for seed in (1, 2, 3)]
    counts = [METRIC.count(str(truth.image_id), found, truth, spec()) for truth, found in pairs]
    score = METRIC.score(counts, spec())
    expected = by_pycocotools(pairs, HAND.sigmas)
    assert 0.05 < expected[0] < 0.95
    assert [score.value, *score.others.values()][:3] == pytest.approx(expected[:3], abs=1e-12)
    coarser = replace(HAND, sigmas=(0.3, 0.3, 0.3))
    assert METRIC.score(counts, spec(coarser)).value > score.value
    with pytest.raises(BadShapeError, match="for 17 joints"):
        METRIC.count("1", pairs[0][1], pairs[0][0], tiny_specs.pose())


def test_joints_that_nobody_measured_have_no_average_precision() -> None:
    with pytest.raises(UsageError, match=r"give decode\.skeleton its sigmas"):
        METRIC.check(spec(replace(HAND, sigmas=())))


def test_a_file_is_read_by_the_names_of_the_models_own_joints(tmp_path: Path) -> None:
    (tmp_path / "val2017").mkdir()
    (tmp_path / "annotations").mkdir()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "val2017" / "7.jpg")
    points = [[30, 20, 2], [10, 12, 1], [0, 0, 0]]
    document = {
        "images": [{"id": 7, "file_name": "7.jpg", "height": 40, "width": 60}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "area": 90.0, "bbox": [1, 2, 30, 20],
                         "keypoints": [value for point in points for value in point]}],
        "categories": [{"id": 1, "name": "hand", "keypoints": ["Right Thumb", "wrist", "left-thumb"]}],
    }  # fmt: skip
    file = tmp_path / "annotations" / "person_keypoints_val2017.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    reading = Reading.of(spec())
    assert reading.joints == HAND.joints
    dataset = coco_keypoints.open(tmp_path, "val", reading=reading)
    found = dataset.read_target(dataset.samples[0])
    assert found.xy_px[0].tolist() == [[10, 12], [0, 0], [30, 20]] and found.visibility[0].tolist() == [1, 0, 2]
    with pytest.raises(BadDatasetError, match=r"none of the model's"):
        coco_keypoints.open(tmp_path, "val")
    document["categories"][0]["keypoints"] = ["p0", "p1"]  # type: ignore[index]
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BadDatasetError, match=r"Name them as the model does \(wrist, left_thumb, right_thumb"):
        coco_keypoints.open(tmp_path, "val", reading=reading)
