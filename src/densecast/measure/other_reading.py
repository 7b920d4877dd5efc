"""Looks whether another reading of the ground truth would agree with the predictions far better.

Masks whose values mean other classes than the model's, and depth in another unit, are read without an error, and the
score says that the model is bad. What a model predicts tells them apart: it is wrong everywhere in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.spec.model import ModelSpec
from densecast.spec.sample import Sample
from densecast.tasks.monocular_depth import MonocularDepthDecode

# A systematic error shows on few images, and on few pixels of each.
IMAGES, _PIXELS = 64, 1 << 16
_MOST_CLASSES = 512
# Of a class that is called otherwise, so much is predicted as the other one, and so little of the other as itself.
_AGREEING, _NOT_ITSELF = 0.6, 0.2
# Rare classes that are always taken for another are a fault of the model; so many of all pixels have to agree more, of
# one class and of several.
_OF_ALL, _OF_ALL_BY_SEVERAL = 0.2, 0.1
_SHOWN = 4
# An overlap of two classes (IoU) that is none by chance.
_OVERLAP = 0.4
# A factor between prediction and truth that is no error of a model, and how far the images' own may be from it.
_FACTOR, _SPREAD = 2.0, 1.25


class OtherReading:
    """An observer of the measuring loop; `remarks` say what it found.

    What one image shows is plain numbers: they may be kept in its record, and added another time.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._labels = spec.labels
        classes, decode = len(spec.labels), spec.decode
        has_classes = spec.task == "segmentation" and classes <= _MOST_CLASSES
        has_bits = spec.task == "multilabel" and 1 < classes <= _MOST_CLASSES
        self._counts = np.zeros((classes, classes), np.int64) if has_classes else None
        self._bits = np.zeros((3, classes, classes), np.int64) if has_bits else None
        in_metres = isinstance(decode, MonocularDepthDecode) and (decode.form, decode.align) == ("metres", "none")
        self._factors: list[float] | None = [] if in_metres else None
        self._images = 0

    def __call__(self, sample: Sample, prediction: Any, target: Any) -> None:
        """Take one image's prediction and target."""
        self._images += 1
        if self._images <= IMAGES:
            self.add(self.shown(sample, prediction, target))

    def shown(self, sample: Sample, prediction: Any, target: Any) -> list[float]:
        """What one image shows: places and numbers in turn, or a single factor; empty for nothing."""
        if self._counts is not None:
            return _sparse(_pairs(prediction.class_id, np.asarray(target), len(self._counts)))
        if self._bits is not None:
            return _sparse(_common_bits(prediction.classes, target.planes_of(self._labels, sample.id)))
        return [] if self._factors is None else _factor(prediction.values, np.asarray(target))

    def add(self, shown: Sequence[float]) -> None:
        """Add what an image has shown."""
        total = self._counts if self._counts is not None else self._bits
        if total is not None:
            numbers = np.asarray(shown, np.int64).reshape(-1, 2)
            np.add.at(total.reshape(-1), numbers[:, 0], numbers[:, 1])
        elif self._factors is not None:
            self._factors += shown

    def remarks(self) -> tuple[str, ...]:
        """What would agree better, and where to look; empty where nothing does."""
        if self._counts is not None:
            return _of_classes(self._counts, self._labels)
        if self._bits is not None:
            return _of_bits(self._bits, self._labels)
        return _of_factors(self._factors) if self._factors else ()


def _sparse(counts: npt.NDArray[np.int64]) -> list[float]:
    """Counts of any shape -> the places of those that are not 0, each with its number."""
    flat = counts.reshape(-1)
    places = np.flatnonzero(flat)
    pairs: list[float] = np.stack([places, flat[places]], axis=1).reshape(-1).tolist()
    return pairs


def _pairs(predicted: npt.NDArray[Any], there: npt.NDArray[Any], classes: int) -> npt.NDArray[np.int64]:
    """(H, W) twice -> (C, C) pixels by what is there (rows) and what was predicted."""
    predicted, there = _some(predicted), _some(there)
    counted = (there < classes) & (predicted < classes)
    pairs = there[counted].astype(np.int64) * classes + predicted[counted]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.int64, copy=False)


def _common_bits(predicted: npt.NDArray[np.bool_], there: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """(C, H, W) twice -> (3, C, C), as `_of_bits` takes them."""
    classes = len(there)
    own, found = (np.stack([_some(plane) for plane in each]) for each in (there, predicted))
    counts = np.empty((3, classes, classes), np.int64)
    counts[0] = (own.astype(np.float64) @ found.T.astype(np.float64)).astype(np.int64)
    counts[1] = np.count_nonzero(own, axis=1)[:, None]
    counts[2] = np.count_nonzero(found, axis=1)[None, :]
    return counts


def _factor(predicted: npt.NDArray[Any], there: npt.NDArray[Any]) -> list[float]:
    """(H, W) twice -> the median ratio of truth to prediction; empty where neither is known."""
    predicted, there = _some(predicted), _some(there)
    known = (there > 0) & (predicted > 0) & np.isfinite(predicted)
    return [float(np.median(there[known].astype(np.float64) / predicted[known]))] if known.any() else []


def _some(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """At most about `_PIXELS` of an image's pixels, evenly."""
    flat = array.reshape(-1)
    return flat[:: max(1, flat.size // _PIXELS)]


def _of_classes(counts: npt.NDArray[np.int64], labels: tuple[str, ...]) -> tuple[str, ...]:
    """(C, C) pixels by what is there (rows) and what was predicted -> the classes that seem to be called otherwise."""
    there, total = counts.sum(axis=1), int(counts.sum())
    moved: dict[int, int] = {}
    for own in np.flatnonzero(there).tolist():
        other = int(counts[own].argmax())
        is_itself = there[other] and counts[other, other] >= _NOT_ITSELF * there[other]
        if other != own and counts[own, other] >= _AGREEING * there[own] and not is_itself:
            moved[own] = other
    # Where several classes are taken for one, the model tells them less well apart: no other reading helps.
    once = {own: other for own, other in moved.items() if [*moved.values()].count(other) == 1}
    gained = sum(int(counts[own, other] - counts[own, own]) for own, other in once.items())
    if not once or gained < (_OF_ALL if len(once) == 1 else _OF_ALL_BY_SEVERAL) * total:
        return ()
    told = [
        f"{counts[own, other] / there[own]:.0%} of {labels[own]!r} are predicted as {labels[other]!r}"
        for own, other in [*once.items()][:_SHOWN]
    ]
    agreed = int(np.trace(counts))
    return (
        f"the values of the ground truth seem to mean other classes: {', '.join(told)}"
        f"{', …' if len(once) > _SHOWN else ''}. So read, {(agreed + gained) / total:.0%} of the pixels would agree "
        f"instead of {agreed / total:.0%}: look at the order of the model's labels, and at what each value means "
        "(--reduce-zero-label, --remap, or names in a data file)",
    )


def _of_bits(bits: npt.NDArray[np.int64], labels: tuple[str, ...]) -> tuple[str, ...]:
    """(3, C, C): in both, there, predicted, of each class that is there (rows) and predicted (columns) -> a remark."""
    both, there, predicted = bits
    iou = both / np.maximum(there + predicted - both, 1)
    best, own = iou.argmax(axis=1), np.diagonal(iou)
    moved = {
        place: other
        for place, other in enumerate(best.tolist())
        if other != place and iou[place, other] >= _OVERLAP and own[place] < iou[place, other] / 2
    }
    # A class that lies within another may be found as that one; classes of another order change places.
    if len(moved) < 2 or {*moved.values()} != {*moved}:
        return ()
    told = [f"{labels[place]!r} is where {labels[other]!r} is predicted" for place, other in [*moved.items()][:_SHOWN]]
    return (
        f"the classes of the ground truth seem to be in another order: {', '.join(told)}"
        f"{', …' if len(moved) > _SHOWN else ''}. Look at the order of the model's labels and of the bits (labels.txt)",
    )


def _of_factors(factors: list[float]) -> tuple[str, ...]:
    """Ratios of truth to prediction, an image each -> the one that all share, if it is far from 1."""
    own = np.asarray(factors)
    factor = float(np.median(own))
    alike = np.abs(np.log(own / factor)) <= np.log(_SPREAD)
    if 1 / _FACTOR < factor < _FACTOR or len(own) < 2 or alike.mean() < _AGREEING:
        return ()
    return (
        f"the ground truth is about {factor:.3g} times what is predicted in {int(alike.sum())} of {len(own)} images: "
        "look at the unit of both (units_per_m in depth.toml, scale_m in [decode]), or set align = 'median'",
    )
