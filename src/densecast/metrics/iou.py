"""Intersection over union of each class, counted over the whole data set.

Definitions of MMSegmentation 0.30 (`mmseg.core.evaluation.metrics`), with one difference: it adds up the images'
pixel counts in float32, which cannot hold the whole numbers of a large data set; here they are integers, so the
numbers may differ from its own in the last printed digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError
from densecast.metrics._iou_tables import STYLES, tables
from densecast.spec.model import ModelSpec
from densecast.spec.prediction import Prediction, SegmentationMap
from densecast.spec.sample import LabelMap, Target
from densecast.spec.score import Score
from densecast.tasks.segmentation.palettes import IGNORED

__all__ = ["STYLES", "Accumulator", "Ratios", "accumulator", "count_pixels", "ratios", "tables"]

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_VALUES = 256


@dataclass(frozen=True, slots=True)
class Ratios:
    """What pixel counts come to, as fractions; NaN is 0 pixels of 0.

    `iou` (C,) is intersection over union, `acc` (C,) the share of a class's pixels that was found. The means are
    over the classes where they are defined: one that is neither in the ground truth nor predicted does not count,
    one that is predicted but never there has IoU 0 and no accuracy. `aacc` is the share of all pixels.
    """

    iou: Floats
    acc: Floats
    miou: float
    macc: float
    aacc: float


def count_pixels(predicted: LabelMap, target: LabelMap) -> Counts:
    """(H, W) and (H, W) class indices -> (256, 256) int64: pixels by target (rows) and prediction (columns).

    Raises:
        BadShapeError: the two are not of one size.
    """
    if predicted.shape != target.shape:
        raise BadShapeError(f"a prediction of {predicted.shape} pixels cannot be compared with {target.shape}.")
    pairs = target.astype(np.uint16)
    pairs <<= 8
    pairs |= predicted
    return np.bincount(pairs.reshape(-1), minlength=_VALUES**2).reshape(_VALUES, _VALUES).astype(np.int64, copy=False)


def ratios(counts: Counts, classes: int) -> Ratios:
    """(256, 256) counts of any number of images -> the ratios of classes 0 to `classes` - 1.

    Pixels whose target is 255 do not count. A prediction that is no class is a miss, of no class's union.
    """
    both, predicted, there = _class_counts(counts, classes)
    with np.errstate(invalid="ignore"):
        iou = both / (predicted + there - both)
        acc = both / there
    total = int(there.sum())
    return Ratios(iou, acc, _nanmean(iou), _nanmean(acc), int(both.sum()) / total if total else float("nan"))


class Accumulator:
    """mIoU of the whole data set; beside it the mean accuracy of the classes and that of all pixels.

    `per_image` holds each image's own mIoU, over the classes in it: it ranks images, and its mean is not the score.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels
        self._counts: Counts = np.zeros((_VALUES, _VALUES), np.int64)
        self._per_image: dict[str, float] = {}
        self._images = 0
        self._by_image: list[Counts] = []

    def add(self, sample_id: str, prediction: Prediction, target: Target) -> None:
        """Count one image.

        Raises:
            BadShapeError: prediction and target are not of one size.
        """
        assert isinstance(prediction, SegmentationMap) and isinstance(target, np.ndarray)
        counts = count_pixels(prediction.class_id, target)
        own = ratios(counts, len(self._labels)).miou
        if not np.isnan(own):
            self._per_image[sample_id] = own
        self._counts += counts
        self._images += 1
        self._by_image.append(_class_counts(counts, len(self._labels)))

    def score(self) -> Score:
        """`mIoU` as a fraction, with `mAcc` and `aAcc`; a class without a value has None."""
        found = ratios(self._counts, len(self._labels))
        return Score(
            name="mIoU",
            value=found.miou,
            unit="fraction",
            better="higher",
            count=self._images,
            per_class={"IoU": self._by_class(found.iou), "Acc": self._by_class(found.acc)},
            others={"mAcc": found.macc, "aAcc": found.aacc},
            per_image=dict(self._per_image),
        )

    def resampled(self, weights: Counts) -> Floats:
        """(B, N) times that each image counts -> (B,) mIoU, each over one sum of pixel counts."""
        if not self._by_image:
            return np.full(len(weights), np.nan)
        both, predicted, there = np.moveaxis(np.tensordot(weights, np.stack(self._by_image), axes=1), 1, 0)
        with np.errstate(invalid="ignore"):
            iou = both / (predicted + there - both)
        defined = ~np.isnan(iou)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(defined, iou, 0.0).sum(axis=1) / defined.sum(axis=1), dtype=np.float64)

    def _by_class(self, values: Floats) -> dict[str, float | None]:
        pairs = zip(self._labels, values.tolist(), strict=True)
        return {label: None if np.isnan(value) else value for label, value in pairs}


def accumulator(spec: ModelSpec) -> Accumulator:
    """A new, empty one for the model's labels."""
    return Accumulator(spec.labels)


def _class_counts(counts: Counts, classes: int) -> Counts:
    """(256, 256) -> (3, C): by class, the pixels found and there, those predicted, and those there."""
    counted = np.delete(counts, IGNORED, axis=0)
    return np.stack([np.diagonal(counted)[:classes], counted.sum(axis=0)[:classes], counted.sum(axis=1)[:classes]])


def _nanmean(values: Floats) -> float:
    """The mean of what is a number; NaN where nothing is."""
    numbers = values[~np.isnan(values)]
    return float(np.mean(numbers)) if len(numbers) else float("nan")
