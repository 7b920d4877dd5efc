"""Record of a mixed-precision search: allowed accuracy drop, trials, and the configuration selected."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from densecast.runtime.ab_timing import Ratio
from densecast.runtime.cpu_load import CpuLoad
from densecast.spec import limits
from densecast.spec.score import Interval
from densecast.spec.verb_options import MaxDrop

HALF_PRECISION = "16-bit"
"""The name of the trial without any int8."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One mixed-precision configuration that was measured.

    `half_layers` are the layers in 16 bits, all others being in int8. `drop` is in points against float32, with its
    interval over images; `speed` is how many times as fast as the 16-bit model it is, by interleaved timing: of the
    undisturbed calls by wall time, `speed_range` over rounds, `cpu_speed` by the process's CPU time. `load` is what
    other processes took meanwhile.
    """

    name: str
    half_layers: tuple[str, ...]
    drop: Interval
    speed: float
    infer_ms: float
    speed_range: Ratio | None = None
    cpu_speed: float | None = None
    load: CpuLoad = field(default_factory=CpuLoad)

    def is_within(self, points: float) -> bool:
        """Whether the drop, and even the upper end of its interval, is at most `points`."""
        return all(limits.is_at_most("max_drop", drop, points) for drop in (self.drop.value, self.drop.high))

    def is_clearly_slower_than(self, speed: float) -> bool:
        """Whether it is slower than `speed` times the 16-bit model, and noise is no explanation for it."""
        high = self.speed_range.high if self.speed_range else self.speed
        return high < speed and not self.load.is_too_high

    @property
    def least_speed(self) -> float:
        """The lower end of its speed's interval; 0 where other processes took too much for one."""
        if self.load.is_too_high:
            return 0.0
        return self.speed_range.low if self.speed_range else self.speed

    @property
    def worst_drop(self) -> float:
        """The upper end of the drop's interval; infinite where the drop is not a number, so that any other is less."""
        drops = (self.drop.value, self.drop.high)
        return math.inf if any(math.isnan(drop) for drop in drops) else self.drop.high


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """The outcome of a search for the fastest model within an accuracy limit.

    `pareto_front` names the trials that no other one beats in both drop and speed. `reference` is float32's score, over
    `images` images, whose ids are `ids`; `layers` is how many there are to choose from. `sensitivity` is the share of
    the int8 model's error that a layer's return to 16 bits takes away.
    """

    options: MaxDrop
    metric: str
    reference: float
    images: int
    ids: tuple[str, ...]
    layers: int
    trials: tuple[Trial, ...]
    pareto_front: tuple[str, ...]
    winner: str
    why: str
    within_limit: bool
    seconds: float
    finished: bool
    sensitivity: dict[str, float] = field(default_factory=dict)


def pareto_front(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    """The trials that no other beats in both drop and speed, fastest first."""
    best: list[Trial] = []
    for trial in sorted(trials, key=lambda each: (-each.speed, each.drop.value)):
        if not best or trial.drop.value < best[-1].drop.value:
            best.append(trial)
    return tuple(best)
