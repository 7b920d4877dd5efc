"""Timing results: raw stage times of a pipeline, and the percentiles derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from densecast.io import codec
from densecast.results.json_result import FORMAT, JsonResult, ModelRecord
from densecast.runtime.ab_timing import Answer, Ratio
from densecast.runtime.cpu_load import CpuLoad
from densecast.runtime.execution import Mode
from densecast.runtime.machine import Machine
from densecast.runtime.roofline import Roofline


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
class Pace:
    """A model's speed end to end beside another's, image by image in alternation.

    `ratio` is how many times as fast as `against` (a precision's short name) by wall time, `cpu_ratio` by CPU time.
    `faster` is the verdict: yes, no, or undecided where noise is larger than the difference; `why` says it.
    """

    against: str
    ratio: Ratio
    rounds: int
    faster: Answer
    why: str
    cpu_ratio: float | None = None
    load: CpuLoad = field(default_factory=CpuLoad)


@dataclass(frozen=True, slots=True)
class Timing:
    """What a benchmark measured.

    `samples_ms` holds, for each stage, one time per call, in order; `infer` is per batch, the others
    per image. `scope` says what the clock covers. `images_per_s` is counted images over wall time. `streams`
    inferences ran at a time, and `workers` images were in work. `other_stages_cpu_ms` is what an image costs besides
    inference: the median CPU time of its other stages, of the threads that carry them out. `cpu_ms_per_image` is the
    CPU time of the whole process. `spread` is how far the means of five equal parts of the run lie apart, as a share of
    their median; `load` is what other programs took of the CPUs meanwhile. `joules_per_image` is what the processors
    took, whoever used them; None where the system does not tell.
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
    cpu_ms_per_image: float | None = None
    spread: float | None = None
    load: CpuLoad = field(default_factory=CpuLoad)
    joules_per_image: float | None = None

    @property
    def images_per_vcpu_hour(self) -> float:
        """Images in an hour on each of the CPUs that it had: what an hour of a rented machine buys."""
        return self.images_per_s * 3600 / self.threads

    @property
    def images_per_kwh(self) -> float | None:
        """Images for a kilowatt-hour of the processors; None where the system does not tell."""
        return 3.6e6 / self.joules_per_image if self.joules_per_image else None

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


def spread_of(samples_ms: Sequence[float], parts: int = 5) -> float | None:
    """How far the means of consecutive parts of a run lie apart, over their median; None with fewer samples."""
    if len(samples_ms) < parts:
        return None
    means = [float(np.mean(part)) for part in np.array_split(np.asarray(samples_ms), parts)]
    return round((max(means) - min(means)) / float(np.median(means)), 4)


@dataclass(frozen=True, slots=True)
class BenchmarkResult(JsonResult):
    """A model's speed in one mode; with `roofline` where every layer was timed."""

    timing: Timing
    mode: Mode
    model: ModelRecord
    format: int = FORMAT
    roofline: Roofline | None = None

    def plain(self) -> dict[str, Any]:
        """The throughput, each stage's percentiles, the model's own keys, and all else of the timing."""
        timing = codec.to_plain(self.timing)
        rates = ("images_per_s", "inference_only_per_s")
        return {
            "format": self.format,
            "throughput": {
                **{name: timing.pop(name) for name in rates},
                "images_per_vcpu_hour": self.timing.images_per_vcpu_hour,
                "images_per_kwh": self.timing.images_per_kwh,
            },
            "mode": self.mode,
            "end_to_end_share": self.timing.end_to_end_share,
            "end_to_end_bound": self.timing.end_to_end_bound,
            "stages": {name: codec.to_plain(summary) for name, summary in self.timing.stages().items()},
            "machine": timing.pop("machine"),
            **self.model.plain(),
            **timing,
            **({} if self.roofline is None else {"roofline": self._roofline(self.roofline)}),
        }

    @staticmethod
    def _roofline(found: Roofline) -> dict[str, Any]:
        """All of it, with each layer's time at the roofline, its bound, and its shares."""
        peaks, plain = found.peaks, codec.to_plain(found)
        for layer, words in zip(found.layers, plain["layers"], strict=True):
            words |= {"least_ms": layer.least_ms(peaks), "bound": layer.bound(peaks), "share": layer.share(peaks)}
            words["share_of_peak"] = layer.share_of_peak(peaks)
        return {**plain, "least_ms": found.least_ms, "timed_ms": found.timed_ms, "macs": found.macs}
