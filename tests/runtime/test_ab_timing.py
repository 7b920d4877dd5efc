"""Baseline and candidate alternate, for as many rounds as allowed, and their ratio is of the same rounds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from densecast.runtime import ab_timing
from densecast.runtime.ab_timing import RoundLimits, interleave, ratio_quartiles, timed, undisturbed_ratio


class Clock:
    """Stands still but where work is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.order: list[str] = []
        monkeypatch.setattr(ab_timing, "time", SimpleNamespace(perf_counter=lambda: self.now_s))

    def work(self, name: str, seconds: float) -> ab_timing.Workload:
        def workload() -> float:
            self.order.append(name)
            self.now_s += seconds
            return seconds

        return workload


def test_they_alternate_and_every_round_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    baseline, candidate = interleave([clock.work("a", 2.0), clock.work("b", 1.0)], RoundLimits(3, 1, 100.0))
    assert clock.order == ["a", "b"] * 3
    assert baseline.tolist() == [2.0] * 3 and candidate.tolist() == [1.0] * 3


@pytest.mark.parametrize(("limits", "rounds"), [((9, 1, 7.0), 3), ((9, 5, 7.0), 5), ((2, 1, 7.0), 2), ((4, 4, 0.0), 4)])
def test_rounds_end_with_the_time_but_not_before_the_fewest(
    limits: tuple[int, int, float], rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    (seconds,) = interleave([clock.work("a", 3.0)], RoundLimits(*limits))
    assert len(seconds) == rounds


@pytest.mark.parametrize(
    ("slower", "rounds"), [((2.0,) * 9, 5), ((2.0, 1.3) * 4, 8), ((1.2, 1.15) * 4, 8), ((0.9,) * 8, 5)]
)
def test_rounds_end_when_they_are_farther_from_what_is_required_than_from_one_another(
    slower: tuple[float, ...], rounds: int
) -> None:
    """2 is farther from 1.1 than the rounds are apart; what lies between 1.3 and 2, or beside 1.1, is not settled."""
    baseline_s = iter(slower)
    found = interleave(
        [lambda: next(baseline_s), lambda: 1.0],
        RoundLimits(8, 5, 100.0),
        lambda seconds: ab_timing.is_settled(seconds[0], seconds[1], 1.1),
    )
    assert [len(each) for each in found] == [rounds] * 2


def test_a_call_is_timed_by_the_clock_that_is_given() -> None:
    ticks = iter([1_000_000_000, 3_500_000_000])
    assert timed(lambda: None, lambda: next(ticks))() == 2.5


def test_a_drift_of_both_leaves_the_ratio_alone() -> None:
    drift = np.linspace(1, 3, 9)
    assert ratio_quartiles(2 * drift, drift) == (2.0, 2.0, 2.0)


def test_disturbed_calls_do_not_count() -> None:
    baseline, candidate = np.full(20, 2.0), np.full(20, 1.0)
    candidate[5:] = 50.0
    assert undisturbed_ratio(baseline, candidate) == pytest.approx(2.0 / np.quantile(candidate, 0.25))
    candidate[:8] = 1.0
    assert undisturbed_ratio(baseline, candidate) == 2.0


@pytest.mark.parametrize(
    ("baseline", "candidate", "known"),
    [
        ([2.0] * 8, [1.0] * 8, True),
        ([0.2] * 8, [0.1] * 8, False),  # 3 seconds are asked for
        ([2.0] * 7 + [2.1], [1.0] * 8, False),
        # Of twelve rounds one at either end may be anything.
        ([2.0] * 11 + [9.0], [1.0] * 12, True),
        ([2.0] * 10 + [9.0] * 2, [1.0] * 12, False),
    ],
)
def test_a_ratio_is_known_where_rounds_agree_and_were_long_enough(
    baseline: list[float], candidate: list[float], known: bool
) -> None:
    assert ab_timing.is_known(np.array(baseline), np.array(candidate), 0.01, 3.0) is known
