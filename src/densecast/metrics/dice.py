"""Dice of one foreground class: the mean over images as in milesial/Pytorch-UNet, and pooled over all pixels.

The two differ: a small object missed in one image costs as much as a large one per image, and next to nothing
pooled. Each goes by its own name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError
from densecast.metrics._base import Metric, TruthSummary, in_order, require_tensors
from densecast.spec.model import ModelSpec
from densecast.spec.sample import LabelMap
from densecast.spec.score import Score
from densecast.tasks.segmentation import SegmentationMap
from densecast.tasks.segmentation.palettes import IGNORED

FOREGROUND = 1
EPSILON = 1e-6


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
    intersection = 2.0 * both
    total = float(predicted + target)
    if total == 0:
        total = intersection
    return (intersection + epsilon) / (total + epsilon)


class Dice:
    """Mean of the images' Dice, with Dice and IoU over all pixels of the data set."""

    name = "dice_per_image"

    def check(self, spec: ModelSpec) -> None:
        """Whether the model's predictions are class maps, of which class 1 is measured.

        Raises:
            UsageError: they are not.
        """
        require_tensors("dice", frozenset({"class_id"}), spec)

    def count(self, sample_id: str, prediction: SegmentationMap, target: LabelMap, spec: ModelSpec) -> ForegroundCount:
        """One image's foreground pixels.

        Raises:
            BadShapeError: prediction and target are not of one size.
        """
        if prediction.class_id.shape != target.shape:
            raise BadShapeError(
                f"a prediction of {prediction.class_id.shape} pixels cannot be compared with {target.shape}."
            )
        predicted, there = prediction.class_id == FOREGROUND, target == FOREGROUND
        numbers = (int(np.count_nonzero(each)) for each in (predicted & there, predicted, there))
        background, ignored = (int(np.count_nonzero(target == value)) for value in (0, IGNORED))
        both, seen, marked = numbers
        return ForegroundCount(
            sample_id, both, seen, marked, background, ignored, target.size - marked - background - ignored
        )

    def truth(self, counts: Sequence[ForegroundCount], spec: ModelSpec) -> TruthSummary:
        """What the targets held: background, foreground, 255, and other labels."""
        background, target, ignored, foreign = (
            sum(getattr(count, name) for count in counts) for name in ("background", "target", "ignored", "foreign")
        )
        rest = (0,) * max(0, len(spec.labels) - 2)
        return TruthSummary((background, target, *rest), ignored, {2: foreign} if foreign else {})

    def score(self, counts: Sequence[ForegroundCount], spec: ModelSpec) -> Score:
        """`dice_per_image`, with `dice_pooled` and `iou_pooled` (NaN where no image has a foreground)."""
        counted = in_order(counts)
        values = [dice(each.both, each.predicted, each.target) for each in counted]
        both = sum(each.both for each in counted)
        total = sum(each.predicted + each.target for each in counted)
        union = total - both
        return Score(
            name=self.name,
            value=float(np.mean(values)) if values else float("nan"),
            unit="fraction",
            better="higher",
            count=len(values),
            others={
                "dice_pooled": 2 * both / total if total else float("nan"),
                "iou_pooled": both / union if union else float("nan"),
            },
            per_image={each.sample_id: value for each, value in zip(counted, values, strict=True)},
        )

    def resampled(
        self, counts: Sequence[ForegroundCount], weights: npt.NDArray[np.int64], spec: ModelSpec
    ) -> npt.NDArray[np.float64]:
        """(B, N) times that each image counts -> (B,) means of the images' Dice."""
        values = np.array([dice(each.both, each.predicted, each.target) for each in counts])
        with np.errstate(invalid="ignore"):
            return np.asarray(weights @ values / weights.sum(axis=1), dtype=np.float64)


METRIC: Metric[SegmentationMap, LabelMap, ForegroundCount] = Dice()
