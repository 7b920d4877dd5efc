"""IoU and Dice of each class of a multi-label segmentation, over all pixels of the data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from densecast.metrics._base import CountBlock, Metric, require_one_size, require_tensors
from densecast.metrics._blocks import blocks_of
from densecast.metrics._overlaps import Counts, Floats, by_label, defined_mean, ious, resampled_means, sums_and_values
from densecast.spec.model import ModelSpec
from densecast.spec.score import Score
from densecast.tasks.multilabel import MultilabelMap, MultilabelTarget


@dataclass(frozen=True, slots=True, eq=False)
class BitCount:
    """One image's pixels by class, (3, C) int64: in both prediction and target, in the prediction, in the target."""

    sample_id: str
    by_class: Counts


def dices(by_class: Counts) -> Floats:
    """(3, …, C) -> (…, C) Dice: `2·both / (predicted + there)`; NaN for 0 of 0."""
    both, predicted, there = by_class
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * both / (predicted + there), dtype=np.float64)


class MultilabelIou:
    """mIoU: the mean over classes of their IoU; a class that is nowhere, neither found nor there, does not count.

    Beside it mDice, and `IoU_micro` over the bits of all classes together. `per_image` is each image's own mIoU.
    """

    name = "mIoU"

    def check(self, spec: ModelSpec) -> None:
        """Whether the model's predictions have a bit for each class.

        Raises:
            UsageError: they have not.
        """
        require_tensors("multilabel_iou", frozenset({"classes"}), spec)

    def count(self, sample_id: str, prediction: MultilabelMap, target: MultilabelTarget, spec: ModelSpec) -> BitCount:
        """One image's pixels by class.

        Raises:
            BadShapeError: prediction and target are not of one size.
            BadDatasetError: the target has other classes than the model.
        """
        there = target.planes_of(spec.labels, sample_id)
        require_one_size(sample_id, prediction.classes.shape, there.shape)
        planes = (prediction.classes & there, prediction.classes, there)
        return BitCount(sample_id, np.stack([np.count_nonzero(each, axis=(1, 2)) for each in planes]).astype(np.int64))

    def score(self, counts: Sequence[BitCount], spec: ModelSpec) -> Score:
        """`mIoU` as a fraction, with `mDice` and `IoU_micro`; a class without a value has None."""
        return self.score_blocks(blocks_of(counts, ("by_class",)), spec)

    def score_blocks(self, blocks: Iterable[CountBlock], spec: ModelSpec) -> Score:
        """The same, of counts field by field."""
        total, values, images = sums_and_values(blocks, len(spec.labels), ious)
        iou, dice = ious(total), dices(total)
        return Score(
            name=self.name,
            value=defined_mean(iou),
            unit="fraction",
            better="higher",
            count=images,
            per_class={"IoU": by_label(spec, iou), "Dice": by_label(spec, dice)},
            others={"mDice": defined_mean(dice), "IoU_micro": float(ious(total.sum(axis=1)))},
            per_image=values.by_id(),
        )

    def truth_of_block(self, block: CountBlock, spec: ModelSpec) -> None:
        """Counts tell nothing that makes a score a lie."""

    def resampled(self, counts: Sequence[BitCount], weights: Counts, spec: ModelSpec) -> Floats:
        """(B, N) times that each image counts -> (B,) mIoU, each over one sum of pixel counts."""
        return resampled_means(counts, weights, ious)


METRIC: Metric[MultilabelMap, MultilabelTarget, BitCount] = MultilabelIou()
