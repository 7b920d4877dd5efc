"""COCO's numbers are those MMPose computes and prints, to the last digit."""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import seeded_people
import tiny_specs
from coco_oks import oks

from densecast.datasets import _coco_annotations
from densecast.errors import BadShapeError, MissingExtraError
from densecast.metrics._coco_tables import NAMES
from densecast.metrics.coco_keypoints import METRIC, CocoKeypoints, PeopleCount
from densecast.spec.score import Score
from densecast.tasks.pose import AnnotatedPoses, Poses

pytestmark = pytest.mark.coco
pytest.importorskip("pycocotools")

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "coco_metric.json").read_text(encoding="utf-8"))


SPEC = tiny_specs.pose()


def counted(seed: int = 0, chosen: slice = slice(None)) -> list[PeopleCount]:
    document, found = seeded_people.images(seed)
    annotated = _coco_annotations.parse(document).people
    return [
        METRIC.count(f"{each.image_id:012d}", each.people, annotated[each.image_id], SPEC) for each in found[chosen]
    ]


def results_of(counts: list[PeopleCount]) -> list[dict[str, Any]]:
    return CocoKeypoints().results(counts)


def numbers(score: Score) -> dict[str, float]:
    return {score.name: score.value, **score.others}


def test_the_ten_numbers_are_the_originals() -> None:
    score = METRIC.score(counted(), SPEC)
    assert list(numbers(score)) == list(NAMES)
    # The same sums in the same order.
    assert numbers(score) == pytest.approx(GOLDEN["stats"], rel=0, abs=1e-12)
    assert (score.count, score.unit, score.better) == (8, "fraction", "higher")


def test_the_printed_block_is_the_originals() -> None:
    score, metric = METRIC.score(counted(), SPEC), CocoKeypoints()
    assert metric.table(score, metric.table_styles[0]) == GOLDEN["printed"]
    assert metric.table(score, "none") == ""


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("first", [4, 8])
def test_the_first_images_alone_are_scored_as_pycocotools_scores_them(seed: int, first: int, tmp_path: Path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    document, found = seeded_people.images(seed)
    (tmp_path / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
    counts = counted(seed, slice(first))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "annotations.json"))
        evaluation = COCOeval(truth, truth.loadRes(results_of(counts)), "keypoints")
        evaluation.params.imgIds = [each.image_id for each in found[:first]]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    wanted = [math.nan if value == -1 else value for value in evaluation.stats]
    np.testing.assert_array_equal(list(numbers(METRIC.score(counts, SPEC)).values()), wanted)


def test_results_are_the_originals_but_for_people_without_a_joint() -> None:
    results = results_of(counted())
    _, found = seeded_people.images()
    dropped = sum(int((each.people.score <= 0).all(axis=1).sum()) for each in found)
    assert dropped > 0
    assert len(results) == GOLDEN["results"] - dropped
    assert all(set(each) == {"image_id", "category_id", "keypoints", "score"} for each in results)
    assert json.loads(json.dumps(results)) == results
    first = next(each for each in found if len(each.people))
    person = int(np.flatnonzero((first.people.score > 0).any(axis=1))[0])
    assert results[0]["image_id"] == first.image_id
    np.testing.assert_array_equal(np.reshape(results[0]["keypoints"], (17, 3))[:, :2], first.people.xy_px[person])


def people_at(xy_px: np.ndarray, score: float = 0.5) -> Poses:
    count = len(xy_px)
    return Poses(xy_px.astype(np.float32), np.full((count, 17), score, np.float32), np.full(count, score, np.float32))


def annotated_at(xy_px: np.ndarray, area_px: float = 5000.0) -> AnnotatedPoses:
    count = len(xy_px)
    boxes = np.concatenate([xy_px.min(axis=1), np.ptp(xy_px, axis=1)], axis=1).reshape(-1, 4)
    return AnnotatedPoses(
        1, xy_px, np.full((count, 17), 2, np.uint8), np.full(count, area_px), boxes, np.zeros(count, np.bool_)
    )


def test_an_images_own_score_is_the_mean_similarity_of_its_people() -> None:
    rng = np.random.default_rng(0)
    there = rng.uniform(0, 400, (3, 17, 2))
    near = there + rng.normal(0, 3, there.shape)
    # The third is missed, the first is found twice: the better one counts.
    found = np.stack([near[1], there[0] + 30, near[0]])
    count = METRIC.count("a", people_at(found), annotated_at(there), SPEC)
    wanted = sum(float(oks(there[row], near[row].astype(np.float32), 5000.0)) for row in (0, 1))
    wanted += float(oks(there[2], (there[0] + 30).astype(np.float32), 5000.0))
    # Predicted places are float32.
    assert METRIC.score([count], SPEC).per_image["a"] == pytest.approx(wanted / 3, rel=1e-6)


def test_crowds_and_people_without_a_joint_are_nobody_to_be_found() -> None:
    there = np.random.default_rng(0).uniform(0, 400, (3, 17, 2))
    annotated = annotated_at(there)
    annotated.is_crowd[1] = True
    annotated.visibility[2] = 0
    count = METRIC.count("a", people_at(there[:1]), annotated, SPEC)
    # The one person who counts is found exactly; with the others it would be a half or a third.
    assert METRIC.score([count], SPEC).per_image["a"] == pytest.approx(1, abs=1e-6)


def test_somebody_all_of_whose_joints_are_hidden_is_somebody_to_be_found() -> None:
    """Hidden joints (visibility 1) are marked: whoever has only such ones is missed like anybody else."""
    annotated = annotated_at(np.random.default_rng(0).uniform(0, 400, (1, 17, 2)))
    annotated.visibility[:] = 1
    nobody = people_at(np.zeros((0, 17, 2)))
    score = METRIC.score([METRIC.count("a", nobody, annotated, SPEC)], SPEC)
    assert (score.value, score.per_image) == (0.0, {"a": 0.0})
    annotated.visibility[:] = 0
    assert math.isnan(METRIC.score([METRIC.count("a", nobody, annotated, SPEC)], SPEC).value)


def test_the_area_of_somebody_found_is_computed_in_float64_as_from_a_file() -> None:
    xy = np.zeros((1, 17, 2), np.float32)
    xy[0, 1] = (333.3, 77.7)
    (found,) = METRIC.count("a", people_at(xy), annotated_at(np.zeros((0, 17, 2))), SPEC).detections
    assert found["area"] == float(np.float32(333.3)) * float(np.float32(77.7))


def test_results_come_in_one_order_however_the_images_came() -> None:
    counts = counted()
    results = results_of(counts)
    assert results_of(counts[::-1]) == results_of([*counts[3:], *counts[:3]]) == results
    assert [each["image_id"] for each in results] == sorted(each["image_id"] for each in results)


def test_images_without_people_have_no_score_of_their_own_and_count_all_the_same() -> None:
    nobody = np.zeros((0, 17, 2))
    score = METRIC.score([METRIC.count("empty", people_at(nobody), annotated_at(nobody), SPEC)], SPEC)
    assert score.count == 1 and score.per_image == {}
    assert all(math.isnan(value) for value in numbers(score).values())
    printed = CocoKeypoints().table(score, "mmpose")
    assert " = -1.000" in printed and "AP: -1.0" in printed


def test_without_pycocotools_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "pycocotools", raising=False)
    with pytest.raises(MissingExtraError, match=r"densecast\[coco\]"):
        METRIC.check(SPEC)


def test_joints_other_than_cocos_are_refused() -> None:
    hand = Poses(np.zeros((1, 21, 2), np.float32), np.ones((1, 21), np.float32), np.ones(1, np.float32))
    with pytest.raises(BadShapeError, match="17 joints"):
        METRIC.count("a", hand, annotated_at(np.ones((1, 17, 2))), SPEC)


def test_an_image_given_twice_counts_as_one_of_two_images() -> None:
    counts = counted()
    document, found = seeded_people.images()
    annotated = _coco_annotations.parse(document).people
    one = found[5]
    copy = METRIC.count("copy", one.people, replace(annotated[one.image_id], image_id=9999), SPEC)
    again, renamed = METRIC.score([*counts, counts[5]], SPEC), METRIC.score([*counts, copy], SPEC)
    assert again.count == renamed.count == 9
    # The same people, whom equal scores may order differently.
    assert numbers(again) == pytest.approx(numbers(renamed), rel=1e-9)
    assert numbers(again) != numbers(METRIC.score(counts, SPEC))
