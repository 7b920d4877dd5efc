"""Mean intersection over union (mIoU) over the whole data set.

Definitions of MMSegmentation 0.30 (`mmseg.core.evaluation.metrics`), with one difference: it adds up the images'
pixel counts in float32, which cannot hold the whole numbers of a large data set; here they are integers, so the
numbers may differ from its own in the last printed digit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from densecast.errors import BadShapeError
from densecast.metrics import _iou_tables
from densecast.metrics._base import CountBlock, Metric, TruthSummary, require_one_size, require_tensors
from densecast.metrics._blocks import blocks_of
from densecast.metrics._overlaps import Counts, Floats, by_label, defined_mean, ious, resampled_means, sums_and_values
from densecast.spec.model import ModelSpec
from densecast.spec.sample import LabelMap
from densecast.spec.score import Score
from densecast.tasks.segmentation import SegmentationMap
from densecast.tasks.segmentation.palettes import IGNORED, ignored

_VALUES = 256
_FIELDS = ("by_class", "ignored", "foreign")


@dataclass(frozen=True, slots=True)
class Ratios:
    """Ratios of pixel counts as fractions; NaN for 0 of 0 pixels.

    `iou` (C,) is intersection over union, `acc` (C,) the share of a class's pixels that was found. The means are
    over the classes where they are defined: one that is neither in the ground truth nor predicted does not count,
    one that is predicted but never there has IoU 0 and no accuracy. `aacc` is the share of all pixels.
    """

    iou: Floats
    acc: Floats
    miou: float
    macc: float
    aacc: float


@dataclass(frozen=True, slots=True, eq=False)
class PixelCount:
    """One image's pixels by class, (3, C) int64: predicted correctly, predicted, and in the target.

    `ignored` are those whose target is not evaluated, `foreign` those whose target is no class, by label.
    """

    sample_id: str
    by_class: Counts
    ignored: int = 0
    foreign: tuple[tuple[int, int], ...] = ()


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


def class_counts(counts: Counts, classes: int) -> Counts:
    """(256, 256) -> (3, C): by class, the pixels predicted correctly, those predicted, and those in the target.

    Pixels whose target is 255 do not count. A prediction that is no class is a miss, of no class's union.
    """
    counted = np.delete(counts, IGNORED, axis=0)
    return np.stack([np.diagonal(counted)[:classes], counted.sum(axis=0)[:classes], counted.sum(axis=1)[:classes]])


def class_counts_of(predicted: LabelMap, target: LabelMap, classes: int) -> Counts:
    """(H, W) and (H, W) class indices -> (3, C) int64, as `class_counts`, for any number of classes.

    Pixels whose target is `palettes.ignored(classes)` do not count.

    Raises:
        BadShapeError: the two are not of one size.
    """
    if classes <= IGNORED:
        return class_counts(count_pixels(predicted, target), classes)
    if predicted.shape != target.shape:
        raise BadShapeError(f"a prediction of {predicted.shape} pixels cannot be compared with {target.shape}.")
    counted = target != ignored(classes)
    found, there = predicted[counted], target[counted]
    return np.stack([_histogram(labels, classes) for labels in (there[found == there], found, there)])


def _histogram(labels: LabelMap, classes: int) -> Counts:
    return np.bincount(labels, minlength=classes)[:classes].astype(np.int64, copy=False)


def ratios(by_class: Counts) -> Ratios:
    """(3, C) counts of any number of images -> their ratios."""
    both, _, there = by_class
    iou = ious(by_class)
    with np.errstate(invalid="ignore"):
        acc = both / there
    total = int(there.sum())
    return Ratios(iou, acc, defined_mean(iou), defined_mean(acc), int(both.sum()) / total if total else float("nan"))


class IntersectionOverUnion:
    """mIoU over the whole data set, with mean class accuracy and pixel accuracy.

    `per_image` holds each image's own mIoU, over the classes in it: it ranks images, and its mean is not the score.
    """

    name = "mIoU"
    table_styles = _iou_tables.STYLES

    def check(self, spec: ModelSpec) -> None:
        """Whether the model's predictions are class maps.

        Raises:
            UsageError: they are not.
        """
        require_tensors("iou", frozenset({"class_id"}), spec)

    def count(self, sample_id: str, prediction: SegmentationMap, target: LabelMap, spec: ModelSpec) -> PixelCount:
        """One image's pixels by class.

        Raises:
            BadShapeError: prediction and target are not of one size.
        """
        require_one_size(sample_id, prediction.class_id.shape, target.shape)
        classes = len(spec.labels)
        by_class = class_counts_of(prediction.class_id, target, classes)
        not_counted = target.size - int(by_class[2].sum())
        if not not_counted:
            return PixelCount(sample_id, by_class)
        there = np.bincount(target.reshape(-1))
        others = [int(label) for label in np.flatnonzero(there) if label >= classes and label != ignored(classes)]
        foreign = tuple((label, int(there[label])) for label in others)
        return PixelCount(sample_id, by_class, not_counted - sum(count for _, count in foreign), foreign)

    def truth(self, counts: Sequence[PixelCount], spec: ModelSpec) -> TruthSummary:
        """What the targets held: pixels by class, not evaluated, and of labels without a class."""
        found = TruthSummary((0,) * len(spec.labels), 0, {})
        for block in blocks_of(counts, _FIELDS):
            found += self.truth_of_block(block, spec)
        return found

    def truth_of_block(self, block: CountBlock, spec: ModelSpec) -> TruthSummary:
        """The same, of counts field by field."""
        foreign: Counter[int] = Counter()
        for pairs in filter(None, block.fields["foreign"]):
            foreign.update(dict(pairs))
        there, ignored = np.asarray(block.fields["by_class"])[:, 2], np.asarray(block.fields["ignored"])
        others = there[ignored > 0, 1:].any(axis=1)
        return TruthSummary(
            tuple(there.sum(axis=0).tolist()),
            int(ignored.sum()),
            dict(foreign),
            int(np.count_nonzero(~others)),
            int(np.count_nonzero(others)),
        )

    def score(self, counts: Sequence[PixelCount], spec: ModelSpec) -> Score:
        """`mIoU` as a fraction, with `mAcc` and `aAcc`; a class without a value has None."""
        return self.score_blocks(blocks_of(counts, _FIELDS), spec)

    def score_blocks(self, blocks: Iterable[CountBlock], spec: ModelSpec) -> Score:
        """The same, of counts field by field."""
        total, values, images = sums_and_values(blocks, len(spec.labels), ious)
        of_all = ratios(total)
        return Score(
            name=self.name,
            value=of_all.miou,
            unit="fraction",
            better="higher",
            count=images,
            per_class={"IoU": by_label(spec, of_all.iou), "Acc": by_label(spec, of_all.acc)},
            others={"mAcc": of_all.macc, "aAcc": of_all.aacc},
            per_image=values.by_id(),
        )

    def resampled(self, counts: Sequence[PixelCount], weights: Counts, spec: ModelSpec) -> Floats:
        """(B, N) times that each image counts -> (B,) mIoU, each over one sum of pixel counts."""
        return resampled_means(counts, weights, ious)

    def table(self, score: Score, style: str) -> str:
        """The per-class table that MMSegmentation (`mmseg`) or Ascend's FCN-8s (`ascend`) prints; `none` is empty."""
        return _iou_tables.tables(score, style)


METRIC: Metric[SegmentationMap, LabelMap, PixelCount] = IntersectionOverUnion()
