"""Dice as the published evaluation computes it, and pooled as the field defines it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import tiny_specs

from densecast.errors import BadShapeError
from densecast.metrics.dice import METRIC, dice
from densecast.spec.score import Score
from densecast.tasks.segmentation import SegmentationMap

SHAPE = (17, 23)
SPEC = tiny_specs.segmentation()
EMPTY, FULL = np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)


def masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    share = rng.random(2)
    return tuple((rng.random(SHAPE) < each).astype(np.uint8) for each in share)  # type: ignore[return-value]


def score(*pairs: tuple[np.ndarray, np.ndarray]) -> Score:
    counts = [METRIC.count(f"{index}", SegmentationMap(p), t, SPEC) for index, (p, t) in enumerate(pairs)]
    return METRIC.score(counts, SPEC)


@pytest.mark.torch
def test_one_image_is_the_originals_formula() -> None:
    torch = pytest.importorskip("torch")

    def original(predicted: np.ndarray, target: np.ndarray) -> float:
        # The formula of `dice_coeff` at commit 40d5ba7 of milesial/Pytorch-UNet, for one image, in its own float32:
        # twice the overlap over the sum of both sizes, that sum replaced by the overlap where it is 0.
        p, t = torch.from_numpy(predicted).float(), torch.from_numpy(target).float()
        overlap = 2 * (p * t).sum(dim=(-1, -2))
        both = p.sum(dim=(-1, -2)) + t.sum(dim=(-1, -2))
        both = torch.where(both == 0, overlap, both)
        return float(((overlap + 1e-6) / (both + 1e-6)).mean())

    pairs = [masks(seed) for seed in range(30)]
    pairs += [(EMPTY, EMPTY), (EMPTY, FULL), (FULL, EMPTY), (FULL, FULL)]
    for predicted, target in pairs:
        # float32 keeps 6e-8 of numbers below 1; ours is in float64.
        assert score((predicted, target)).value == pytest.approx(original(predicted, target), abs=2e-7)


def test_empty_masks() -> None:
    assert score((EMPTY, EMPTY)).value == dice(0, 0, 0) == 1
    # Nothing is right: epsilon over the size, and epsilon is a millionth of a pixel.
    assert score((EMPTY, FULL)).value == pytest.approx(1e-6 / FULL.size, rel=1e-6)
    assert score((FULL, EMPTY)).value == pytest.approx(1e-6 / FULL.size, rel=1e-6)


def test_mean_of_images_and_pooled_pixels_differ_as_defined() -> None:
    values, both, predicted_total, target_total = [], 0, 0, 0
    for seed in range(6):
        predicted, target = masks(seed)
        overlap, p, t = int((predicted & target).sum()), int(predicted.sum()), int(target.sum())
        values.append(2 * overlap / (p + t))
        both, predicted_total, target_total = both + overlap, predicted_total + p, target_total + t
    found = score(*(masks(seed) for seed in range(6)))
    # Epsilon moves a Dice of some hundred pixels by less than 1e-8.
    assert found.value == pytest.approx(np.mean(values), abs=1e-8)
    assert found.others["dice_pooled"] == pytest.approx(2 * both / (predicted_total + target_total))
    assert found.others["iou_pooled"] == pytest.approx(both / (predicted_total + target_total - both))
    assert found.per_image == pytest.approx({f"{seed}": value for seed, value in enumerate(values)}, abs=1e-8)
    assert abs(found.value - found.others["dice_pooled"]) > 1e-3


def test_only_class_1_counts() -> None:
    found = score((FULL * 2, FULL * 2))
    assert found.value == 1 and math.isnan(found.others["dice_pooled"])


def test_the_references_line_is_printed_where_asked() -> None:
    found = score(masks(0), masks(1))
    assert METRIC.table(replace(found, value=0.99061), "milesial") == "Dice coefficient: 0.9906"  # type: ignore[attr-defined]
    assert METRIC.table(found, "none") == ""  # type: ignore[attr-defined]


def test_another_size_is_refused() -> None:
    with pytest.raises(BadShapeError):
        METRIC.count("a", SegmentationMap(FULL[:, :1]), FULL, SPEC)
