"""Interleaved A/B timing: baseline and candidate run alternately, so that clock-speed drift affects both equally."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from densecast.runtime.cpu_load import CpuLoad

Seconds = npt.NDArray[np.float64]
# Does its work, and says how many seconds that took.
Workload = Callable[[], float]
Answer = Literal["yes", "no", "undecided"]

# The share of runs that counts as undisturbed: what others do on the machine only ever adds time.
_UNDISTURBED = 0.25
# Chance, at most, that the true median lies outside of the interval; fewer than 8 rounds cannot be that sure, and the
# whole range of 5 misses it with a chance of 1/16.
_OUTSIDE = 0.01


@dataclass(frozen=True, slots=True)
class RoundLimits:
    """At most `most` rounds, or fewer once `seconds` are over, but never fewer than `fewest`."""

    most: int
    fewest: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast a candidate was as its baseline: the median over rounds, and an interval of it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """`1.20 (1.15 to 1.26)`."""
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a candidate is fast enough: `yes`, `no`, or `undecided` where noise is larger than the difference.

    `why` is a clause that says it; whoever asks keeps what it had unless the answer is yes.
    """

    answer: Answer
    why: str


def interleave(
    workloads: Sequence[Workload], limits: RoundLimits, settled: Callable[[list[Seconds]], bool] | None = None
) -> list[Seconds]:
    """Run every workload once a round, in order: for each the seconds of all rounds. None of them warms up.

    With `settled` it ends as soon as that says so of the rounds so far, when there are the fewest.
    """
    rounds: list[list[float]] = []
    start = time.perf_counter()
    while len(rounds) < limits.most:
        if len(rounds) >= limits.fewest:
            is_over = time.perf_counter() - start > limits.seconds
            if is_over or (settled is not None and settled(_by_workload(rounds))):
                break
        rounds.append([workload() for workload in workloads])
    return _by_workload(rounds)


def is_settled(baseline: Seconds, candidate: Seconds, required: float) -> bool:
    """Whether more rounds would say the same of whether the candidate is `required` times as fast.

    They do where all rounds lie on one side of it, and farther from it than from one another.
    """
    ratios = baseline / candidate
    low, high = float(ratios.min()), float(ratios.max())
    return max(low - required, required - high) > high - low


def is_known(baseline: Seconds, candidate: Seconds, within: float, seconds: float) -> bool:
    """Whether the rounds, of so many seconds in all at least, tell how many times as fast the candidate is.

    They do where the interval of the median is no wider than `within`, a share of it.
    """
    ratio = median_ratio(baseline, candidate)
    return float(baseline.sum() + candidate.sum()) >= seconds and ratio.high - ratio.low <= within * ratio.value


def _by_workload(rounds: Sequence[Sequence[float]]) -> list[Seconds]:
    return list(np.array(rounds, dtype=np.float64).T)


def timed(call: Callable[[], object], clock_ns: Callable[[], int] = time.perf_counter_ns) -> Workload:
    """One call as a workload, by `clock_ns`."""

    def workload() -> float:
        start = clock_ns()
        call()
        return (clock_ns() - start) / 1e9

    return workload


def cpu_noted(workload: Workload, cpu_s: list[float]) -> Workload:
    """The workload, which also appends the CPU seconds that all threads of this process took for it."""

    def noted() -> float:
        start = time.process_time()
        seconds = workload()
        cpu_s.append(time.process_time() - start)
        return seconds

    return noted


def median_ratio(baseline: Seconds, candidate: Seconds) -> Ratio:
    """How many times as fast the candidate was, round by round: the median and its distribution-free interval.

    The interval is between two order statistics, by the sign test (Conover, Practical Nonparametric Statistics, 1999,
    section 3.2): it assumes nothing about how times are distributed but that rounds are independent, and holds the true
    median with a chance of 99 %. With 7 rounds or fewer it is their whole range, and holds it less often.
    """
    ratios = np.sort(baseline / candidate)
    rank = _interval_rank(len(ratios))
    return Ratio(float(np.median(ratios)), float(ratios[rank]), float(ratios[-1 - rank]))


def decide(ratio: Ratio, required: float, load: CpuLoad | None = None) -> Verdict:
    """Whether the candidate is at least `required` times as fast, as far as the rounds tell.

    Yes if the median is, and the whole interval says that it is no slower than the less demanding of `required` and 1.
    No if even the upper end of the interval is below `required`. Else it is undecided, as is everything by wall time
    while others take too much of the CPUs (give `load` for ratios of wall times; those of CPU time need none).
    """
    if load is not None and load.is_too_high:
        return Verdict("undecided", f"could not be decided: {load}")
    if ratio.value >= required and ratio.low >= min(required, 1.0):
        return Verdict("yes", f"{ratio} times as fast")
    if ratio.high < required:
        short = "not faster" if ratio.high <= 1 else f"{required:g} times were needed"
        return Verdict("no", f"{short}: {ratio} times as fast")
    spread = f"the spread of rounds, {ratio.low:.2f} to {ratio.high:.2f} times as fast, is larger than the difference"
    return Verdict("undecided", f"could not be decided: {spread}")


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


def cpu_ratio(baseline_s: Sequence[float] | Seconds, candidate_s: Sequence[float] | Seconds) -> float | None:
    """How many times less CPU time the candidate took, in the median; None where the clock saw none."""
    own, other = float(np.median(candidate_s)), float(np.median(baseline_s))
    return other / own if own > 0 and other > 0 else None


def _interval_rank(rounds: int) -> int:
    """The largest k so that k order statistics may be left out at either end: 2 P(Binomial(n, 1/2) <= k) is small.

    With n rounds, the interval from the (k+1)-th to the (n-k)-th misses the median with that chance.
    """
    chance, below, k = 0.5**rounds, 0.0, 0
    while 2 * (below + chance) <= _OUTSIDE and k < (rounds - 1) // 2:
        below += chance
        chance *= (rounds - k) / (k + 1)
        k += 1
    return max(k - 1, 0)
