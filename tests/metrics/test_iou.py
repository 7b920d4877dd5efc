"""IoU, accuracies and their tables against MMSegmentation, scikit-learn and plain definitions."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import seeded_labels
import tiny_specs
from hypothesis import given, settings
from hypothesis import strategies as some

from densecast.errors import BadShapeError
from densecast.metrics import iou
from densecast.spec.model import ModelSpec
from densecast.spec.score import Score
from densecast.tasks.segmentation import SegmentationMap
from densecast.tasks.segmentation.palettes import CITYSCAPES, VOC2012

# Made by parity/make_metric_goldens.py with MMSegmentation 0.30.0.
GOLDENS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "segmentation_metric.json").read_text())
PUBLISHED_LABELS = {"cityscapes": CITYSCAPES, "voc": VOC2012}

label_maps = some.integers(0, 2**32 - 1).map(np.random.default_rng).map(lambda rng: rng.integers(0, 5, (2, 9, 11)))


def spec(labels: tuple[str, ...]) -> ModelSpec:
    return tiny_specs.segmentation(labels)


def score(name: str) -> Score:
    described = spec(tuple(GOLDENS[name]["labels"]))
    counts = [
        iou.METRIC.count(str(index), SegmentationMap(pair.predicted), pair.target, described)
        for index, pair in enumerate(seeded_labels.pairs(name))
    ]
    return iou.METRIC.score(counts, described)


@pytest.mark.parametrize("name", seeded_labels.names())
def test_numbers_are_mmsegmentations_to_the_last_bit(name: str) -> None:
    found, golden = score(name), GOLDENS[name]
    assert found.per_class is not None
    for measure in ("IoU", "Acc"):
        assert list(found.per_class[measure]) == golden["labels"]
        assert list(found.per_class[measure].values()) == golden[measure]
    assert found.others["aAcc"] == golden["aAcc"]
    defined = [value for value in golden["IoU"] if value is not None]
    assert found.value == pytest.approx(sum(defined) / len(defined), rel=1e-14)  # a sum in another order


@pytest.mark.parametrize("style", ["mmseg", "ascend"])
@pytest.mark.parametrize("name", seeded_labels.names())
def test_tables_are_the_references_to_the_last_byte(name: str, style: str) -> None:
    assert iou.IntersectionOverUnion().table(score(name), style) == GOLDENS[name][style]


@pytest.mark.parametrize("name", seeded_labels.names())
def test_ratios_are_those_of_scikit_learn(name: str) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    pairs = seeded_labels.pairs(name)
    target = np.concatenate([pair.target.reshape(-1) for pair in pairs])
    predicted = np.concatenate([pair.predicted.reshape(-1) for pair in pairs])
    target, predicted = target[target != 255], predicted[target != 255]
    seen = sorted(set(target.tolist()) | set(predicted.tolist()))
    wanted_iou = metrics.jaccard_score(target, predicted, labels=seen, average=None)
    wanted_acc = metrics.recall_score(target, predicted, labels=seen, average=None, zero_division=np.nan)
    counts = sum(iou.count_pixels(pair.predicted, pair.target) for pair in pairs)
    found = iou.ratios(iou.class_counts(counts, len(GOLDENS[name]["labels"])))
    np.testing.assert_array_equal(counts[seen][:, seen], metrics.confusion_matrix(target, predicted, labels=seen))
    # The same fractions of whole numbers; means are sums in another order.
    np.testing.assert_array_equal(found.iou[seen], wanted_iou)
    np.testing.assert_array_equal(found.acc[seen], wanted_acc)
    assert found.aacc == metrics.accuracy_score(target, predicted)
    assert found.miou == pytest.approx(np.mean(wanted_iou), rel=1e-14)
    assert found.macc == pytest.approx(np.nanmean(wanted_acc), rel=1e-14)


@pytest.mark.parametrize("dataset", PUBLISHED_LABELS)
def test_labels_and_colours_are_the_published_ones(dataset: str) -> None:
    golden = GOLDENS[f"{dataset} plain"]
    assert list(PUBLISHED_LABELS[dataset]) == golden["labels"]
    assert [list(colour) for colour in PUBLISHED_LABELS[dataset].values()] == golden["palette"]


def ratios_of(target: list[int], predicted: list[int], classes: int = 3) -> iou.Ratios:
    counts = iou.count_pixels(np.array([predicted], np.uint8), np.array([target], np.uint8))
    return iou.ratios(iou.class_counts(counts, classes))


def test_a_class_that_is_nowhere_does_not_count() -> None:
    found = ratios_of([0, 0, 1, 1], [0, 0, 1, 0])
    assert math.isnan(found.iou[2]) and math.isnan(found.acc[2])
    assert found.miou == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found.macc == pytest.approx((1 + 1 / 2) / 2)


def test_a_class_that_is_only_predicted_has_iou_0_and_no_accuracy() -> None:
    found = ratios_of([0, 0, 1, 1], [0, 2, 1, 1])
    assert found.iou[2] == 0 and math.isnan(found.acc[2])
    assert found.miou == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found.macc == pytest.approx((1 / 2 + 1) / 2)


def test_a_prediction_that_is_no_class_is_a_miss_of_no_union() -> None:
    found = ratios_of([0, 0, 1, 1], [0, 200, 1, 255])
    np.testing.assert_array_equal(found.iou[:2], [1 / 2, 1 / 2])
    assert found.aacc == 1 / 2


def test_pixels_to_ignore_change_nothing() -> None:
    known, more = ratios_of([0, 1, 2], [0, 2, 2]), ratios_of([0, 1, 2, 255, 255], [0, 2, 2, 0, 1])
    np.testing.assert_array_equal(more.iou, known.iou)
    assert more.aacc == known.aacc


@settings(deadline=None)
@given(some.lists(label_maps, min_size=1, max_size=4), some.randoms())
def test_counting_images_alone_in_any_order_is_counting_them_as_one(images: list[np.ndarray], order: Any) -> None:
    images = [image.astype(np.uint8) for image in images]
    whole = iou.count_pixels(*np.concatenate(images, axis=1))
    order.shuffle(images)
    np.testing.assert_array_equal(sum(iou.count_pixels(*image) for image in images), whole)


def test_an_image_ranks_by_its_own_miou_unless_nothing_in_it_counts() -> None:
    found = score("voc ignored_image")
    assert list(found.per_image) == ["0"]
    only = seeded_labels.pairs("voc ignored_image")[0]
    counts = iou.class_counts(iou.count_pixels(only.predicted, only.target), 21)
    assert found.per_image["0"] == iou.ratios(counts).miou
    assert found.count == 2


def test_sums_beyond_float32_stay_exact() -> None:
    counts = np.zeros((256, 256), np.int64)
    counts[0, 0], counts[0, 1] = 2**40, 1
    assert iou.ratios(iou.class_counts(counts, 2)).iou[0] == 2**40 / (2**40 + 1) < 1


def test_maps_of_two_sizes_are_refused() -> None:
    with pytest.raises(BadShapeError, match=r"\(4, 5\)"):
        iou.count_pixels(np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.uint8))


def test_an_empty_score_has_a_table_of_nothing() -> None:
    metric = iou.IntersectionOverUnion()
    text = metric.table(metric.score([], spec(("a", "b"))), metric.table_styles[0])
    assert text.count("nan") == 7
    assert metric.table(score("voc plain"), "none") == ""


@pytest.mark.parametrize("classes", [2, 7, 8, 19, 130, 151])
def test_of_many_images_each_has_its_own_mean_to_the_last_digit(classes: int) -> None:
    rng = np.random.default_rng(classes)
    there = rng.integers(0, 9000, (300, classes)) * (rng.random((300, classes)) < rng.random((300, 1)))
    both = (there * rng.random(there.shape)).astype(np.int64)
    found = both + rng.integers(0, 3, there.shape) * (rng.random(there.shape) < rng.random((300, 1)))
    counts = [
        iou.PixelCount(f"{index}", np.stack(each)) for index, each in enumerate(zip(both, found, there, strict=True))
    ]
    score = iou.IntersectionOverUnion().score(counts, spec(tuple(f"{index}" for index in range(classes))))
    for index, each in enumerate(zip(both, found, there, strict=True)):
        defined = (each[1] + each[2] - each[0]) > 0
        if defined.any():
            union = (each[1] + each[2] - each[0])[defined]
            assert score.per_image[f"{index}"] == np.mean(each[0][defined] / union)
        else:
            assert f"{index}" not in score.per_image
