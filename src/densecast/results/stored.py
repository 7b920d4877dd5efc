"""What runs with a store give back where the run is not at its end, or compares two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from densecast.io import codec
from densecast.results.compare import ComparedStage
from densecast.results.json_result import FORMAT, JsonResult, without_none
from densecast.spec.score import Interval, Score


@dataclass(frozen=True, slots=True)
class ShardResult(JsonResult):
    """What one shard of a run holds: images done, images failed with the reason, of so many in the shard."""

    store: str
    shard: str
    images: int
    done: int
    failed: dict[str, str]
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """All fields, the failures as a list."""
        return {
            "format": self.format,
            "store": self.store,
            "shard": self.shard,
            "images": self.images,
            "done": self.done,
            "failed": [{"id": sample_id, "error": text} for sample_id, text in sorted(self.failed.items())],
        }


@dataclass(frozen=True, slots=True)
class StageCost:
    """Percentiles of what a stage cost an image, in milliseconds of wall time."""

    p50_ms: float
    p90_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class StoreReport(JsonResult):
    """What a store holds: how many of the run's images are done, which failed and why, their score, their cost.

    `worst` are the images of the worst values, the worst first; `hosts` counts images by machine; `score` is None where
    images are missing, or nothing was measured. `compared` are the stages of a comparison, none of other runs.
    """

    store: str
    model: str
    images: int
    done: int
    failed: dict[str, str]
    score: Score | None
    worst: dict[str, float]
    stages: dict[str, StageCost]
    hosts: dict[str, int]
    remarks: tuple[str, ...] = ()
    compared: tuple[ComparedStage, ...] = ()
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """All fields; of the score without the images' own values, which may be millions."""
        score = None if self.score is None else without_none(self.score)
        if score is not None:
            score.pop("per_image", None)
        return {
            "format": self.format,
            "store": self.store,
            "model": self.model,
            "images": self.images,
            "done": self.done,
            "failed": [{"id": sample_id, "error": text} for sample_id, text in self.failed.items()],
            "score": score,
            "worst": [{"id": sample_id, "value": value} for sample_id, value in self.worst.items()],
            "stages": {name: codec.to_plain(cost) for name, cost in self.stages.items()},
            "hosts": [{"host": host, "images": images} for host, images in self.hosts.items()],
            "remarks": list(self.remarks),
            "compared": [{"title": each.title, **codec.to_plain(each.comparison)} for each in self.compared],
        }


@dataclass(frozen=True, slots=True)
class ChangedImage:
    """An image's value in both evaluations; `worse` is how much the second one is worse, negative where better."""

    id: str
    baseline: float
    candidate: float
    worse: float


@dataclass(frozen=True, slots=True)
class StoreComparison(JsonResult):
    """Two evaluations of the same images: `drop` is the loss of the second with its interval, in the metric's unit.

    `worse` and `better` count images, `changed` are those that changed most.
    """

    metric: str
    images: int
    baseline: float
    candidate: float
    drop: Interval
    worse: int
    better: int
    changed: tuple[ChangedImage, ...]
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """All fields."""
        return {
            "format": self.format,
            "metric": self.metric,
            "images": self.images,
            "baseline": self.baseline,
            "candidate": self.candidate,
            "drop": codec.to_plain(self.drop),
            "worse": self.worse,
            "better": self.better,
            "changed": [codec.to_plain(image) for image in self.changed],
        }
