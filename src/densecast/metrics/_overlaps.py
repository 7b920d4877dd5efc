"""What metrics of overlap share: pixels by class of many images, the means of what is made of them, and resampling."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.metrics._base import CountBlock
from densecast.metrics._blocks import ValuesByImage, row_means
from densecast.spec.model import ModelSpec

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
# (3, …, C): by class the pixels that are both predicted and in the target, predicted, and in the target -> (…, C).
Ratio = Callable[[Counts], Floats]


def ious(by_class: Counts) -> Floats:
    """(3, …, C) -> (…, C) intersection over union; NaN for 0 of 0 pixels."""
    both, predicted, there = by_class
    with np.errstate(invalid="ignore"):
        return np.asarray(both / (predicted + there - both), dtype=np.float64)


def sums_and_values(blocks: Iterable[CountBlock], classes: int, ratio: Ratio) -> tuple[Counts, ValuesByImage, int]:
    """Counts `by_class` of images -> their sum (3, C), each image's mean ratio where it has one, and their number."""
    total: Counts = np.zeros((3, classes), np.int64)
    values, images = ValuesByImage(), 0
    for block in blocks:
        by_class = block.fields["by_class"]
        images += len(block.ids)
        total += by_class.sum(axis=0)
        own = row_means(ratio(np.moveaxis(by_class, 1, 0)))
        values.add(block.ids, own, ~np.isnan(own))
    return total, values, images


def resampled_means(counts: Sequence[Any], weights: Counts, ratio: Ratio) -> Floats:
    """(B, N) times that each image counts -> (B,) mean ratios, each over one sum of the images' `by_class`."""
    if not counts:
        return np.full(len(weights), np.nan)
    sums = np.tensordot(weights, np.stack([count.by_class for count in counts]), axes=1)
    values = ratio(np.moveaxis(sums, 1, 0))
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, values, 0.0).sum(axis=1) / defined.sum(axis=1), dtype=np.float64)


def by_label(spec: ModelSpec, values: Floats) -> dict[str, float | None]:
    """(C,) values by the model's labels; None for NaN."""
    pairs = zip(spec.labels, values.tolist(), strict=True)
    return {label: None if np.isnan(value) else value for label, value in pairs}


def defined_mean(values: Floats) -> float:
    """The mean of all values that are not NaN; NaN if there are none."""
    numbers = values[~np.isnan(values)]
    return float(np.mean(numbers)) if len(numbers) else float("nan")
