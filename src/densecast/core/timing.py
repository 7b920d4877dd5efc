"""Raw times of a pipeline's stages, and the percentiles derived from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from densecast.core.machine import Machine


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
    per image. `scope` says what the clock covers. `images_per_s` is counted images over wall time.
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

    def stages(self) -> dict[str, StageSummary]:
        """Each stage's percentiles."""
        return {name: StageSummary.of(values) for name, values in self.samples_ms.items()}
