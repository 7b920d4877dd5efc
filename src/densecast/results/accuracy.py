"""Accuracy results: of a model run here, and of outputs collected from a device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densecast.io import codec
from densecast.results._base import FORMAT, JsonResult, ModelRecord, PrecisionReport, without_none
from densecast.spec.augment import Augment
from densecast.spec.score import Score


@dataclass(frozen=True, slots=True)
class EvaluateResult(JsonResult):
    """A model's score on its data set, the model, and the views of each image that were averaged."""

    score: Score
    model: ModelRecord
    augment: Augment = Augment()
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """The score without what it lacks, the model's own keys, and `augment` where there were several views."""
        return {
            "format": self.format,
            "score": without_none(self.score),
            **self.model.plain(),
            **({} if self.augment.is_plain else {"augment": codec.to_plain(self.augment)}),
        }


@dataclass(frozen=True, slots=True)
class CollectResult(JsonResult):
    """A device's score over the images of a handoff, and the speed that the vendor's tool reported.

    `performance` has the tool's figures by the name of its file, `outputs` is the folder that the score was computed
    from, `handoff` that of the handoff, `backend` the vendor's compiler, and `hardware` says whether this has run on a
    card.
    """

    score: Score
    performance: dict[str, dict[str, float]]
    model: str
    backend: str
    precision: PrecisionReport
    batch: int
    handoff: Path
    outputs: Path
    hardware: str
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """The same keys as of `EvaluateResult`, with what is known of the device."""
        return {
            "format": self.format,
            "score": without_none(self.score),
            "performance": self.performance,
            "precision": self.precision.plain(),
            "backend": self.backend,
            "model": self.model,
            "batch": self.batch,
            "handoff": str(self.handoff),
            "outputs": str(self.outputs),
            "hardware": self.hardware,
        }
