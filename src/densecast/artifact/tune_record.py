"""Record of tuning: every setting timed on this machine, and the fastest one."""

from __future__ import annotations

from dataclasses import dataclass, field

from densecast.runtime.cpu_load import CpuLoad
from densecast.spec.options import ActivationScheme, HalfType
from densecast.spec.precision import Precision
from densecast.spec.verb_options import TuneOptions


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to build and run a network."""

    precision: Precision
    half_type: HalfType
    graph_passes: tuple[str, ...]
    activations: ActivationScheme
    streams: int
    batch: int

    def __str__(self) -> str:
        """`bf16, graph passes split_dilated_convs, 2 streams, batch 1`."""
        half = "" if self.half_type == "auto" else f" {self.half_type}"
        kind = {
            "force_float32": "float32",
            "force_float16": self.half_type if half else "16 bits",
            "qint8_mixed_float16": f"int8 {self.activations} with{half or ' 16 bits'}",
        }[self.precision]
        streams = f"{self.streams} stream{'s' if self.streams > 1 else ''}"
        return f"{kind}, graph passes {' + '.join(self.graph_passes) or 'none'}, {streams}, batch {self.batch}"


@dataclass(frozen=True, slots=True)
class Rate:
    """Speed of one setting: images per second over all of its rounds, and the median time of a call."""

    images_per_s: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class ABTiming:
    """Interleaved A/B timing of two settings, so that clock-speed drift affects both equally.

    `ratio` is the median over rounds of how many times as fast the candidate was, `quartiles` its spread, and
    `interval` holds the true median by the sign test. Those are of wall times, which is what somebody waits for;
    `cpu_ratio` is that of the process's CPU times. `load` is what others took meanwhile.
    """

    baseline: Rate
    candidate: Rate
    ratio: float
    quartiles: tuple[float, float]
    rounds: int
    interval: tuple[float, float] | None = None
    cpu_ratio: float | None = None
    load: CpuLoad = field(default_factory=CpuLoad)


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate setting measured against `baseline`, the best one up to then.

    `timing` is None if it could not be timed, and `why` says it. `required_ratio` is how many times faster it had to be
    to be accepted; `from_cache` says that the timing is an earlier one. `decided` is False where noise was larger than
    the difference: it is then not accepted.
    """

    what: str
    setting: Setting
    baseline: Setting
    required_ratio: float
    timing: ABTiming | None
    accepted: bool
    why: str
    from_cache: bool = False
    decided: bool = True


@dataclass(frozen=True, slots=True)
class TuneRecord:
    """All trials in order, and the best setting; `precision` is the one requested.

    `finished` is False if the time was up before the end.
    """

    options: TuneOptions
    precision: Precision
    winner: Setting
    threads: int
    trials: tuple[Trial, ...]
    why: str
    seconds: float
    finished: bool

    def for_throughput(self, threads: int) -> Setting | None:
        """The setting with the highest throughput; None if tuning had another goal or other CPUs."""
        return self.winner if self.options.goal == "throughput" and threads == self.threads else None

    def agrees_with(self, other: TuneRecord | None) -> bool:
        """Whether both made the same choices from the same measurements, regardless of time and cache."""
        return other is not None and self._outcome() == other._outcome()

    def _outcome(self) -> object:
        return self.winner, self.why, [(trial.what, trial.timing, trial.accepted) for trial in self.trials]
