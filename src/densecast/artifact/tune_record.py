"""What `build --tune` may try and spend, and what it found: which build of a network is the fastest on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from densecast.errors import UsageError
from densecast.spec.options import ActivationScheme, HalfType
from densecast.spec.precision import Precision

Goal = Literal["throughput", "latency"]


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What is measured for, and how long.

    `goal` is images a second, with as many inferences at a time and as large batches as make most of them, or the
    time of one inference alone. After `seconds` nothing new is begun; what was measured is kept for the next time.
    `keep_int8` takes int8, if that was asked, even where 16 bits are as fast.
    """

    goal: Goal = "throughput"
    seconds: float = 600.0
    keep_int8: bool = False

    def __post_init__(self) -> None:
        """Time is positive."""
        if self.seconds <= 0:
            raise UsageError(f"--time-budget must be above 0, got {self.seconds} s.")


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
        """`bf16, rewritten by split_dilated_convs, 2 streams, batch 1`."""
        sixteen = "" if self.half_type == "auto" else f" {self.half_type}"
        kind = {
            "force_float32": "float32",
            "force_float16": self.half_type if sixteen else "16 bits",
            "qint8_mixed_float16": f"int8 {self.activations} with{sixteen or ' 16 bits'}",
        }[self.precision]
        streams = f"{self.streams} stream{'s' if self.streams > 1 else ''}"
        return f"{kind}, rewritten by {' + '.join(self.graph_passes) or 'nothing'}, {streams}, batch {self.batch}"


@dataclass(frozen=True, slots=True)
class Rate:
    """One side of a duel: images a second over all of its turns, and the median time of a call."""

    images_per_s: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Duel:
    """Two settings measured in turns, so that a drift of the machine's speed hits both.

    `ratio` is the median over neighbouring turns of how many times faster the challenger was, `quartiles` its spread.
    """

    champion: Rate
    challenger: Rate
    ratio: float
    quartiles: tuple[float, float]
    turns: int


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting that was to be tried against the best so far; `duel` is None if it could not be, and `why` says it.

    `needed` is how many times faster it had to be to be taken.
    """

    what: str
    setting: Setting
    against: Setting
    needed: float
    duel: Duel | None
    taken: bool
    why: str
    remembered: bool = False


@dataclass(frozen=True, slots=True)
class TuneRecord:
    """All that was tried, in order, and what was kept; `precision` is the one that was asked for.

    `finished` is False if the time was up before the end.
    """

    asked: TuneOptions
    precision: Precision
    winner: Setting
    threads: int
    trials: tuple[Trial, ...]
    why: str
    seconds: float
    finished: bool

    def for_throughput(self, threads: int) -> Setting | None:
        """The setting with the most images a second; None where that was not asked, or for other CPUs."""
        return self.winner if self.asked.goal == "throughput" and threads == self.threads else None

    def agrees_with(self, other: TuneRecord | None) -> bool:
        """Whether both chose the same by the same measurements, whenever and from wherever they took these."""
        return other is not None and self._outcome() == other._outcome()

    def _outcome(self) -> object:
        return self.winner, self.why, [(trial.what, trial.duel, trial.taken) for trial in self.trials]
