"""The metric: absolute relative error, and the root of the mean squared error, over pixels whose depth is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from densecast import ModelSpec, Score
from my_depth.task import F32, DepthMap


@dataclass(frozen=True, slots=True)
class ErrorSums:
    """One image's sums."""

    sample_id: str
    relative: float
    squared: float
    pixels: int


class DepthErrors:
    """AbsRel over all pixels of the data set; beside it RMSE in metres. Less is better."""

    name = "AbsRel"

    def check(self, spec: ModelSpec) -> None:
        """Depth alone."""
        assert spec.task == "depth"

    def count(self, sample_id: str, prediction: DepthMap, target: F32, spec: ModelSpec) -> ErrorSums:
        """One image."""
        known = target > 0
        apart = prediction.depth_m[known].astype(np.float64) - target[known]
        return ErrorSums(
            sample_id, float((np.abs(apart) / target[known]).sum()), float((apart**2).sum()), int(known.sum())
        )

    def score(self, counts: Sequence[ErrorSums], spec: ModelSpec) -> Score:
        """Sums are exact whatever their order."""
        pixels = sum(count.pixels for count in counts)
        relative = math.fsum(count.relative for count in counts)
        squared = math.fsum(count.squared for count in counts)
        return Score(
            name=self.name,
            value=relative / pixels if pixels else math.nan,
            unit="fraction",
            better="lower",
            count=len(counts),
            others={"RMSE": math.sqrt(squared / pixels) if pixels else math.nan},
            per_image={count.sample_id: count.relative / count.pixels for count in counts if count.pixels},
        )
