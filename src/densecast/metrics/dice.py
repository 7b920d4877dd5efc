"""Dice of one foreground class: per image as milesial/Pytorch-UNet averages it, and pooled over all pixels.

The two differ: a small object missed in one image costs as much as a large one per image, and next to nothing
pooled. Each goes by its own name.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from densecast.spec.model import ModelSpec
from densecast.spec.prediction import Prediction, SegmentationMap
from densecast.spec.sample import Target
from densecast.spec.score import Score

FOREGROUND = 1
EPSILON = 1e-6


def dice(predicted: npt.NDArray[np.bool_], target: npt.NDArray[np.bool_], epsilon: float = EPSILON) -> float:
    """(H, W) and (H, W) -> Dice of one image, as `evaluate.py` of milesial/Pytorch-UNet (commit 40d5ba7).

    `(2·|p∧t| + ε) / (|p| + |t| + ε)`; two empty masks give 1.
    """
    intersection = 2.0 * np.count_nonzero(predicted & target)
    total = float(np.count_nonzero(predicted) + np.count_nonzero(target))
    if total == 0:
        total = intersection
    return (intersection + epsilon) / (total + epsilon)


class Accumulator:
    """Mean of each image's Dice; beside it Dice and IoU over all pixels of the data set."""

    def __init__(self) -> None:
        self._per_image: dict[str, float] = {}
        self._both = self._predicted = self._target = 0

    def add(self, sample_id: str, prediction: Prediction, target: Target) -> None:
        """Count one image; prediction and target must have one size."""
        assert isinstance(prediction, SegmentationMap) and isinstance(target, np.ndarray)
        predicted, wanted = prediction.class_id == FOREGROUND, target == FOREGROUND
        self._per_image[sample_id] = dice(predicted, wanted)
        self._both += int(np.count_nonzero(predicted & wanted))
        self._predicted += int(np.count_nonzero(predicted))
        self._target += int(np.count_nonzero(wanted))

    def resampled(self, weights: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(B, N) times that each image counts -> (B,) means of the images' Dice."""
        values = np.array(list(self._per_image.values()))
        with np.errstate(invalid="ignore"):
            return np.asarray(weights @ values / weights.sum(axis=1), dtype=np.float64)

    def score(self) -> Score:
        """`dice_per_image`, with `dice_pooled` and `iou_pooled` (NaN where no image has a foreground)."""
        total = self._predicted + self._target
        union = total - self._both
        values = list(self._per_image.values())
        return Score(
            name="dice_per_image",
            value=float(np.mean(values)) if values else float("nan"),
            unit="fraction",
            better="higher",
            count=len(values),
            others={
                "dice_pooled": 2 * self._both / total if total else float("nan"),
                "iou_pooled": self._both / union if union else float("nan"),
            },
            per_image=dict(self._per_image),
        )


def accumulator(spec: ModelSpec) -> Accumulator:
    """A new, empty one; any model whose class 1 is what it looks for."""
    return Accumulator()
