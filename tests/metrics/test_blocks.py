"""Scores do not depend on how counts are divided into blocks, nor on the order in which images come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny_specs

from densecast.errors import BadDatasetError, BadShapeError, UsageError
from densecast.metrics._blocks import ValuesByImage, blocks_of, row_means
from densecast.metrics.coco_keypoints import CocoKeypoints
from densecast.metrics.dice import Dice
from densecast.metrics.iou import IntersectionOverUnion
from densecast.metrics.monocular_depth import MonocularDepth
from densecast.metrics.multilabel_iou import MultilabelIou
from densecast.tasks.monocular_depth import DepthMap
from densecast.tasks.multilabel import MultilabelMap, MultilabelTarget
from densecast.tasks.pose import AnnotatedPoses, Poses
from densecast.tasks.segmentation import SegmentationMap

HW = (6, 5)
LABELS = ("ground", "house", "tree")


def segmentation(metric: Any, fields: Sequence[str]) -> tuple[Any, Any, list[Any], Sequence[str]]:
    rng, spec = np.random.default_rng(0), tiny_specs.segmentation(LABELS)
    counts = []
    for index in range(9):
        there = rng.integers(0, 2 + index % 3, HW).astype(np.uint8)
        there[0, : index % 4] = (255, 9, 9, 7)[: index % 4]
        if index == 4:
            there[:] = 255
        counts.append(metric.count(f"{index}", SegmentationMap(rng.integers(0, 3, HW).astype(np.uint8)), there, spec))
    return metric, spec, counts, fields


def multilabel() -> tuple[Any, Any, list[Any], Sequence[str]]:
    rng, spec, metric = np.random.default_rng(1), tiny_specs.multilabel(), MultilabelIou()
    counts = []
    for index in range(9):
        found, there = rng.random((2, 3, *HW)) < 0.1 * index
        counts.append(metric.count(f"{index}", MultilabelMap(found), MultilabelTarget(there), spec))
    return metric, spec, counts, ("by_class",)


def depth() -> tuple[Any, Any, list[Any], Sequence[str]]:
    rng, spec, metric = np.random.default_rng(2), tiny_specs.depth(), MonocularDepth()
    counts = []
    for index in range(9):
        there = rng.uniform(1, 70, HW).astype(np.float32) * (index != 4)
        counts.append(metric.count(f"{index}", DepthMap(rng.uniform(1, 70, HW).astype(np.float32)), there, spec))
    return metric, spec, counts, ("pixels", "abs_rel", "others")


CASES = {
    "iou": lambda: segmentation(IntersectionOverUnion(), ("by_class", "ignored", "foreign")),
    "dice": lambda: segmentation(Dice(), ("both", "predicted", "target", "background", "ignored", "foreign")),
    "multilabel": multilabel,
    "depth": depth,
}


@pytest.mark.parametrize("images", [1, 2, 4, 9, 100])
@pytest.mark.parametrize("name", CASES)
def test_blocks_of_any_size_give_one_score(name: str, images: int) -> None:
    metric, spec, counts, fields = CASES[name]()
    whole = metric.score(counts, spec)
    assert whole.count == 9
    order = [3, 8, 0, 5, 4, 1, 7, 2, 6]
    for given in (counts, [counts[each] for each in order]):
        divided = list(blocks_of(given, fields, images))
        assert [len(each.ids) for each in divided] == [images] * (9 // images) + [9 % images] * (9 % images > 0)
        assert [each for block in divided for each in block.ids] == [each.sample_id for each in given]
        score = metric.score_blocks(divided, spec)
        assert repr(score) == repr(whole) and list(score.per_image) == sorted(score.per_image)
        if name in ("iou", "dice"):
            parts = [metric.truth_of_block(each, spec) for each in divided]
            summed = parts[0]
            for each in parts[1:]:
                summed += each
            assert summed == metric.truth(counts, spec)
            assert sum(summed.by_class) + summed.ignored + sum(summed.foreign.values()) == 9 * HW[0] * HW[1]


SPECS = {
    "segmentation": tiny_specs.segmentation(),
    "multilabel": tiny_specs.multilabel(),
    "depth": tiny_specs.depth(),
    "pose": tiny_specs.pose(),
}
MEASURED: dict[str, tuple[Any, str]] = {
    "iou": (IntersectionOverUnion(), "segmentation"),
    "dice": (Dice(), "segmentation"),
    "multilabel": (MultilabelIou(), "multilabel"),
    "depth": (MonocularDepth(), "depth"),
    "pose": (CocoKeypoints(), "pose"),
}


@pytest.mark.coco
@pytest.mark.parametrize("name", MEASURED)
def test_a_metric_measures_models_of_its_own_task_alone(name: str) -> None:
    if name == "pose":
        pytest.importorskip("pycocotools")
    metric, task = MEASURED[name]
    for other, spec in SPECS.items():
        if other == task:
            metric.check(spec)
        else:
            with pytest.raises(UsageError, match="compares"):
                metric.check(spec)


@pytest.mark.parametrize("name", CASES)
def test_no_counts_are_a_score_of_nothing(name: str) -> None:
    metric, spec, _, fields = CASES[name]()
    assert list(blocks_of([], fields)) == []
    score = metric.score([], spec)
    assert math.isnan(score.value) and score.count == 0 and score.per_image == {}
    assert all(math.isnan(value) for value in score.others.values())
    assert np.isnan(metric.resampled([], np.zeros((4, 0), np.int64), spec)).all()


def test_fields_are_arrays_where_they_can_be() -> None:
    _, _, counts, fields = CASES["iou"]()
    (block,) = blocks_of(counts, fields)
    np.testing.assert_array_equal(block.fields["by_class"], np.stack([each.by_class for each in counts]))
    assert block.fields["ignored"].tolist() == [each.ignored for each in counts]
    assert block.fields["foreign"] == [each.foreign for each in counts]
    _, _, errors, _ = CASES["depth"]()
    (block,) = blocks_of(errors, ("pixels", "abs_rel"))
    assert (block.fields["pixels"].dtype, block.fields["abs_rel"].dtype) == (np.int64, np.float64)


def test_means_of_rows_are_numpys_of_their_own_values() -> None:
    rng = np.random.default_rng(3)
    values = rng.random((60, 23))
    values[rng.random(values.shape) < rng.random((60, 1))] = np.nan
    values[7] = np.nan
    wanted = [row[~np.isnan(row)].mean() if (~np.isnan(row)).any() else np.nan for row in values]
    np.testing.assert_array_equal(row_means(values), wanted)
    assert row_means(np.zeros((0, 3))).shape == (0,)


def test_only_images_that_count_have_a_value_and_all_come_in_order() -> None:
    collected = ValuesByImage()
    assert collected.in_order()[0] == [] and collected.by_id() == {}
    collected.add(["c", "a"], np.array([3.0, 1.0]))
    collected.add(["b", "x", "d"], np.array([2.0, 9.0, 4.0]), np.array([True, False, True]))
    collected.add(["y"], np.array([9.0]), np.array([False]))
    ids, values = collected.in_order()
    assert ids == ["a", "b", "c", "d"] and values.tolist() == [1, 2, 3, 4]
    assert list(collected.by_id().items()) == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]


def test_each_threshold_of_depth_is_a_power_and_not_within_itself() -> None:
    metric, spec = MonocularDepth(), tiny_specs.depth()
    # 1.25, its square and its cube are exact in float32.
    ratios = np.array([[1.0, 1.2, 1.25, 1.5, 1.5625, 1.9, 1.953125, 2.4, 3.0]])
    for there, found in ((np.ones_like(ratios), ratios), (ratios, np.ones_like(ratios))):
        count = metric.count("a", DepthMap(found.astype(np.float32)), there.astype(np.float32), spec)
        others = metric.score([count], spec).others
        assert [others[f"delta{k}"] for k in (1, 2, 3)] == pytest.approx([2 / 9, 4 / 9, 6 / 9])
    with pytest.raises(BadShapeError, match="cannot be compared"):
        metric.count("a", DepthMap(np.ones((3, 4), np.float32)), np.ones((4, 3), np.float32), spec)


def test_bits_of_other_sizes_and_numbers_are_refused() -> None:
    metric, spec = MultilabelIou(), tiny_specs.multilabel()
    bits = np.ones((3, *HW), np.bool_)
    with pytest.raises(BadShapeError, match="cannot be compared"):
        metric.count("a", MultilabelMap(bits[:, 1:]), MultilabelTarget(bits), spec)
    with pytest.raises(BadDatasetError, match="2 bits a pixel, the model 3 classes"):
        metric.count("a", MultilabelMap(bits), MultilabelTarget(bits[:2]), spec)
    # Bits beyond the model's that are never set do no harm.
    more = np.concatenate([bits, np.zeros((4, *HW), np.bool_)])
    assert metric.count("a", MultilabelMap(bits), MultilabelTarget(more), spec).by_class.tolist() == [[30] * 3] * 3


@pytest.mark.coco
@pytest.mark.parametrize(("place", "value"), [(20, 1 / 20), (21, 0.0)])
def test_of_an_image_twenty_people_count(place: int, value: float) -> None:
    pytest.importorskip("pycocotools")
    metric, spec = CocoKeypoints(), tiny_specs.pose()
    there = np.random.default_rng(0).uniform(0, 100, (1, 17, 2))
    # All but one are far away; the one who is right has the score of that place.
    xy = np.repeat(there + 5000, 25, axis=0)
    xy[place - 1] = there[0]
    scores = np.linspace(0.9, 0.1, 25).astype(np.float32)
    people = Poses(xy.astype(np.float32), np.ones((25, 17), np.float32), scores)
    target = AnnotatedPoses(
        1, there, np.full((1, 17), 2, np.uint8), np.full(1, 5000.0), np.array([[0.0, 0, 100, 100]]), np.zeros(1, bool)
    )
    count = metric.count("a", people, target, spec)
    assert metric.score([count], spec).value == pytest.approx(value, abs=1e-9)
    resampled = metric.resampled([count, replace(count, sample_id="b")], np.array([[1, 0], [1, 1]]), spec)
    assert resampled[0] == pytest.approx(value, abs=1e-9)
