"""The accuracy that an int8 model may lose, and what was found in keeping to it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from densecast.errors import UsageError
from densecast.spec import limits
from densecast.spec.sample import Split
from densecast.spec.score import Interval

Otherwise = Literal["16-bit", "best", "fail"]
LABEL_FREE = ("disagreement", "oks")
"""Measures of a model against its own float32, which need no ground truth."""
SIXTEEN_BIT = "16-bit"
"""The name of the trial without any int8."""


@dataclass(frozen=True, slots=True)
class MaxDrop:
    """What is promised, and what may be spent on keeping it.

    `points` are hundredths of the metric: 0.5 allows an mIoU of 0.780 to become 0.775. `metric` is the model's own,
    or for want of ground truth `disagreement` (the share of pixels whose class changes) or `oks` (what the people
    found lose in similarity to those float32 finds); None takes the first of these that the data allows. `images`
    is how many of `split` to judge by, 0 for as many as the time allows. `otherwise` says what to do if no int8
    model keeps the promise: take the 16-bit one, the int8 model that loses least, or fail.
    """

    points: float
    metric: str | None = None
    seconds: float = 600.0
    images: int = 0
    split: Split = "val"
    otherwise: Otherwise = "16-bit"

    def __post_init__(self) -> None:
        """Numbers that make sense."""
        if not 0 < self.points < 100 or self.seconds <= 0 or self.images < 0:
            raise UsageError(
                f"--max-drop is in points between 0 and 100, its time above 0; got {self.points} and {self.seconds} s."
            )


@dataclass(frozen=True, slots=True)
class Trial:
    """One mixture of int8 and 16 bits that was measured.

    `kept` are the layers in 16 bits. `drop` is in points against float32, with its interval over images; `speed` is
    in inferences of the 16-bit model's time, measured in turn with it, so above 1 is faster.
    """

    name: str
    kept: tuple[str, ...]
    drop: Interval
    speed: float
    infer_ms: float

    def keeps(self, points: float) -> bool:
        """Whether the drop, and even the upper end of its interval, is within `points`."""
        return all(limits.is_at_most("--max-drop", drop, points) for drop in (self.drop.value, self.drop.high))

    @property
    def worst_drop(self) -> float:
        """The upper end of the drop's interval; infinite where the drop is not a number, so that any other is less."""
        drops = (self.drop.value, self.drop.high)
        return math.inf if any(math.isnan(drop) for drop in drops) else self.drop.high


@dataclass(frozen=True, slots=True)
class SearchRecord:
    """What a search for the fastest model within a drop has found; `front` names the trials no other one beats."""

    asked: MaxDrop
    metric: str
    reference: float
    images: int
    ids: tuple[str, ...]
    layers: int
    trials: tuple[Trial, ...]
    front: tuple[str, ...]
    winner: str
    why: str
    kept_promise: bool
    seconds: float
    finished: bool
    sensitivity: dict[str, float] = field(default_factory=dict)


def front(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    """The trials that none beats in both drop and speed, the fastest first."""
    best: list[Trial] = []
    for trial in sorted(trials, key=lambda each: (-each.speed, each.drop.value)):
        if not best or trial.drop.value < best[-1].drop.value:
            best.append(trial)
    return tuple(best)
