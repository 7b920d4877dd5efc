"""What every metric offers: predictions and targets in, one score out."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from densecast.spec.prediction import Prediction
from densecast.spec.sample import Target
from densecast.spec.score import Score


class Accumulator(Protocol):
    """Counts over a data set; the order of images does not change the score."""

    def add(self, sample_id: str, prediction: Prediction, target: Target) -> None:
        """Count one image."""

    def score(self) -> Score:
        """The score so far; NaN with count 0 before the first image."""


@runtime_checkable
class HasResults(Protocol):
    """An accumulator that can tell its predictions in the format of the data set's evaluation server."""

    def results(self) -> list[dict[str, Any]]:
        """All predictions so far, ready for JSON."""


@runtime_checkable
class Resamples(Protocol):
    """An accumulator that can tell its score for other mixtures of the images it has counted."""

    def resampled(self, weights: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(B, N) times that each of the N images, in the order they were added, counts -> (B,) scores."""
