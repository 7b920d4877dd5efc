"""Timing results: raw stage times of a pipeline, and the percentiles derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from densecast.io import codec
from densecast.results._base import FORMAT, JsonResult, ModelRecord
from densecast.runtime.execution import Mode
from densecast.runtime.machine import Machine


@dataclass(frozen=True, slots=True)
class StageSummary:
    """Percentiles (linear interpolation between order statistics) and mean of one stage."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float

    @classmethod
    def of(cls, samples_ms: tuple[float, ...]) -> StageSummary:
        """Summary of at least one sample."""
        p50, p90, p99 = (float(value) for value in np.percentile(samples_ms, [50, 90, 99]))
        return cls(p50, p90, p99, float(np.mean(samples_ms)))


@dataclass(frozen=True, slots=True)
class Timing:
    """What a benchmark measured.

    `samples_ms` holds, for each stage, one time per call, in order; `infer` is per batch, the others
    per image. `scope` says what the clock covers. `images_per_s` is counted images over wall time. `streams`
    inferences ran at a time, and `workers` images were in work. `other_stages_cpu_ms` is what an image costs besides
    inference: the median CPU time of its other stages, of the threads that carry them out.
    """

    samples_ms: dict[str, tuple[float, ...]]
    scope: dict[str, str]
    images: int
    batch: int
    warm_up: int
    threads: int
    inputs: str
    images_per_s: float
    inference_only_per_s: float
    peak_rss_mb: float
    machine: Machine
    streams: int = 1
    workers: int = 1
    other_stages_cpu_ms: float = 0.0

    @property
    def end_to_end_share(self) -> float:
        """Images per second end to end, over those of inference alone."""
        return self.images_per_s / self.inference_only_per_s

    @property
    def end_to_end_bound(self) -> float:
        """The largest `end_to_end_share` that the other stages' CPU time allows.

        With several workers inference alone keeps all `threads` busy, and the other stages' CPU time comes on top of
        that. With one, stages come one after another.
        """
        inference_ms = 1000 / self.inference_only_per_s * (self.threads if self.workers > 1 else 1)
        return inference_ms / (inference_ms + self.other_stages_cpu_ms)

    def stages(self) -> dict[str, StageSummary]:
        """Each stage's percentiles."""
        return {name: StageSummary.of(values) for name, values in self.samples_ms.items()}


@dataclass(frozen=True, slots=True)
class BenchmarkResult(JsonResult):
    """A model's speed in one mode."""

    timing: Timing
    mode: Mode
    model: ModelRecord
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """The throughput, each stage's percentiles, the model's own keys, and all else of the timing."""
        timing = codec.to_plain(self.timing)
        rates = ("images_per_s", "inference_only_per_s")
        return {
            "format": self.format,
            "throughput": {name: timing.pop(name) for name in rates},
            "mode": self.mode,
            "end_to_end_share": self.timing.end_to_end_share,
            "end_to_end_bound": self.timing.end_to_end_bound,
            "stages": {name: codec.to_plain(summary) for name, summary in self.timing.stages().items()},
            "machine": timing.pop("machine"),
            **self.model.plain(),
            **timing,
        }
