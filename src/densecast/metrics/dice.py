"""Dice of one foreground class: the mean over images as in milesial/Pytorch-UNet, and pooled over all pixels.

The two differ: a small object missed in one image costs as much as a large one per image, and next to nothing
pooled. Each goes by its own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.errors import UsageError
from densecast.metrics._base import CountBlock, Metric, TruthSummary, require_one_size, require_tensors
from densecast.metrics._blocks import ValuesByImage, blocks_of
from densecast.spec.model import ModelSpec
from densecast.spec.sample import LabelMap
from densecast.spec.score import Score
from densecast.tasks.segmentation import SegmentationMap
from densecast.tasks.segmentation.palettes import IGNORED

FOREGROUND = 1
EPSILON = 1e-6
_FIELDS = ("both", "predicted", "target", "background", "ignored", "foreign")

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ForegroundCount:
    """One image's foreground pixels: in both prediction and target, in the prediction, and in the target.

    `background`, `ignored` (255) and `foreign` are the target's other pixels; all three count as background.
    """

    sample_id: str
    both: int
    predicted: int
    target: int
    background: int = 0
    ignored: int = 0
    foreign: int = 0


def dice(both: int, predicted: int, target: int, epsilon: float = EPSILON) -> float:
    """Numbers of foreground pixels -> one image's Dice, as `evaluate.py` of milesial/Pytorch-UNet (commit 40d5ba7).

    `(2·|p∧t| + ε) / (|p| + |t| + ε)`; two empty masks give 1.
    """
    return (2.0 * both + epsilon) / (float(predicted + target) + epsilon)


def _dice_of(both: Counts, predicted: Counts, target: Counts) -> npt.NDArray[np.float64]:
    """`dice` of many images, (N,) each."""
    return np.asarray((2.0 * both + EPSILON) / ((predicted + target).astype(np.float64) + EPSILON))


class Dice:
    """Mean of the images' Dice, with Dice and IoU over all pixels of the data set."""

    name = "dice_per_image"
    table_styles = ("none", "milesial")

    def check(self, spec: ModelSpec) -> None:
        """Whether the model's predictions are class maps of two classes, of which the second is measured.

        Raises:
            UsageError: they are not.
        """
        require_tensors("dice", frozenset({"class_id"}), spec)
        if len(spec.labels) > FOREGROUND + 1:
            raise UsageError(
                f"metric 'dice' measures one foreground class, and {spec.name} has {len(spec.labels)} classes "
                f"({', '.join(spec.labels[:3])}{' …' * (len(spec.labels) > 3)}). Take iou, which has all of them.",
                field="metric",
            )

    def count(self, sample_id: str, prediction: SegmentationMap, target: LabelMap, spec: ModelSpec) -> ForegroundCount:
        """One image's foreground pixels.

        Raises:
            BadShapeError: prediction and target are not of one size.
        """
        require_one_size(sample_id, prediction.class_id.shape, target.shape)
        predicted, there = prediction.class_id == FOREGROUND, target == FOREGROUND
        numbers = (int(np.count_nonzero(each)) for each in (predicted & there, predicted, there))
        background, ignored = (int(np.count_nonzero(target == value)) for value in (0, IGNORED))
        both, seen, marked = numbers
        return ForegroundCount(
            sample_id, both, seen, marked, background, ignored, target.size - marked - background - ignored
        )

    def truth(self, counts: Sequence[ForegroundCount], spec: ModelSpec) -> TruthSummary:
        """What the targets held: background, foreground, 255, and other labels."""
        found = TruthSummary((0,) * max(2, len(spec.labels)), 0, {})
        for block in blocks_of(counts, _FIELDS):
            found += self.truth_of_block(block, spec)
        return found

    def truth_of_block(self, block: CountBlock, spec: ModelSpec) -> TruthSummary:
        """The same, of counts field by field."""
        background, target, ignored, foreign = (
            int(block.fields[name].sum()) for name in ("background", "target", "ignored", "foreign")
        )
        rest = (0,) * max(0, len(spec.labels) - 2)
        others = np.asarray(block.fields["target"])[np.asarray(block.fields["ignored"]) > 0] > 0
        return TruthSummary(
            (background, target, *rest),
            ignored,
            {2: foreign} if foreign else {},
            int(np.count_nonzero(~others)),
            int(np.count_nonzero(others)),
        )

    def score(self, counts: Sequence[ForegroundCount], spec: ModelSpec) -> Score:
        """`dice_per_image`, with `dice_pooled` and `iou_pooled` (NaN where no image has a foreground)."""
        return self.score_blocks(blocks_of(counts, _FIELDS), spec)

    def score_blocks(self, blocks: Iterable[CountBlock], spec: ModelSpec) -> Score:
        """The same, of counts field by field."""
        collected = ValuesByImage()
        both = total = 0
        for block in blocks:
            own, predicted, target = (block.fields[name] for name in ("both", "predicted", "target"))
            collected.add(block.ids, _dice_of(own, predicted, target))
            both += int(own.sum())
            total += int(predicted.sum()) + int(target.sum())
        # A sum of floats depends on the order of its terms, so there is one order.
        ids, values = collected.in_order()
        union = total - both
        return Score(
            name=self.name,
            value=float(np.mean(values)) if ids else float("nan"),
            unit="fraction",
            better="higher",
            count=len(ids),
            others={
                "dice_pooled": 2 * both / total if total else float("nan"),
                "iou_pooled": both / union if union else float("nan"),
            },
            per_image=dict(zip(ids, values.tolist(), strict=True)),
        )

    def table(self, score: Score, style: str) -> str:
        """`milesial`: the line that the reference deployment of milesial's UNet prints; `none` is empty."""
        return f"Dice coefficient: {score.value:.4f}" if style == "milesial" else ""

    def resampled(
        self, counts: Sequence[ForegroundCount], weights: npt.NDArray[np.int64], spec: ModelSpec
    ) -> npt.NDArray[np.float64]:
        """(B, N) times that each image counts -> (B,) means of the images' Dice."""
        values = np.array([dice(each.both, each.predicted, each.target) for each in counts])
        with np.errstate(invalid="ignore"):
            return np.asarray(weights @ values / weights.sum(axis=1), dtype=np.float64)


METRIC: Metric[SegmentationMap, LabelMap, ForegroundCount] = Dice()
