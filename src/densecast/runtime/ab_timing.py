"""Interleaved A/B timing: baseline and candidate run alternately, so that clock-speed drift affects both equally."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]
# Does its work, and says how many seconds that took.
Workload = Callable[[], float]

# The share of runs that counts as undisturbed: what others do on the machine only ever adds time.
_UNDISTURBED = 0.25


@dataclass(frozen=True, slots=True)
class RoundLimits:
    """At most `most` rounds, or fewer once `seconds` are over, but never fewer than `fewest`."""

    most: int
    fewest: int
    seconds: float


def interleave(workloads: Sequence[Workload], limits: RoundLimits) -> list[Seconds]:
    """Run every workload once a round, in order: for each the seconds of all rounds. None of them warms up."""
    rounds: list[list[float]] = []
    start = time.perf_counter()
    while len(rounds) < limits.most:
        if len(rounds) >= limits.fewest and time.perf_counter() - start > limits.seconds:
            break
        rounds.append([workload() for workload in workloads])
    return list(np.array(rounds, dtype=np.float64).T)


def timed(call: Callable[[], object], clock_ns: Callable[[], int] = time.perf_counter_ns) -> Workload:
    """One call as a workload, by `clock_ns`."""

    def workload() -> float:
        start = clock_ns()
        call()
        return (clock_ns() - start) / 1e9

    return workload


def ratio_quartiles(baseline: Seconds, candidate: Seconds) -> tuple[float, float, float]:
    """How many times faster the candidate was, round by round: lower quartile, median and upper quartile.

    For rounds that are long beside the machine's disturbances, whose spread says how sure the median is.
    """
    low, median, high = np.percentile(baseline / candidate, [25, 50, 75])
    return float(low), float(median), float(high)


def undisturbed_ratio(baseline: Seconds, candidate: Seconds) -> float:
    """How many times faster the candidate was in the quickest quarter of either's rounds.

    For rounds of one short call each, which a disturbance doubles or leaves alone.
    """
    return float(np.quantile(baseline, _UNDISTURBED)) / float(np.quantile(candidate, _UNDISTURBED))
