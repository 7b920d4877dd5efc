"""Raw times of a pipeline's stages, and the percentiles derived from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    inferences ran at a time, and `lanes` images were in work. `beside_cpu_ms` is what an image costs besides inference:
    the median CPU time of its other stages, of the threads that carry them out.
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
    lanes: int = 1
    beside_cpu_ms: float = 0.0

    @property
    def end_to_end_share(self) -> float:
        """Images per second end to end, over those of inference alone."""
        return self.images_per_s / self.inference_only_per_s

    @property
    def end_to_end_bound(self) -> float:
        """The largest `end_to_end_share` that the other stages' CPU time allows.

        With several lanes inference alone keeps all `threads` busy, and the other stages' CPU time comes on top of
        that. With one, stages come one after another.
        """
        inference_ms = 1000 / self.inference_only_per_s * (self.threads if self.lanes > 1 else 1)
        return inference_ms / (inference_ms + self.beside_cpu_ms)

    def stages(self) -> dict[str, StageSummary]:
        """Each stage's percentiles."""
        return {name: StageSummary.of(values) for name, values in self.samples_ms.items()}
