"""When more rounds of a timing would say the same: at the ends of what is settled and of what is known."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.runtime import ab_timing


def settled(ratios: list[float], required: float) -> bool:
    """Of rounds in which the candidate was so many times as fast."""
    return ab_timing.is_settled(np.array(ratios), np.ones(len(ratios)), required)


@pytest.mark.parametrize(
    ("ratios", "required", "is_settled"),
    [
        ([2.0, 2.0], 1.5, True), ([1.0, 1.0], 1.5, True), ([1.5, 1.5], 1.5, False),
        # On one side, and farther from it than from one another: not as far.
        ([2.0, 2.25], 1.5, True), ([2.0, 2.5], 1.5, False), ([2.0, 2.75], 1.5, False),
        ([1.25, 1.0], 1.75, True), ([1.25, 1.0], 1.5, False), ([1.0, 2.0], 1.5, False),
        ([3.0, 2.0, 2.25], 0.5, True), ([3.0, 2.0, 2.25], 1.0, False),
    ],
)  # fmt: skip
def test_rounds_are_settled_on_one_side_and_close_together(
    ratios: list[float], required: float, is_settled: bool
) -> None:
    assert settled(ratios, required) is is_settled


@pytest.mark.parametrize(
    ("seconds", "within", "is_known"),
    [(20.0, 0.0, True), (20.5, 0.0, False), (0.0, 0.0, True)],
)
def test_equal_rounds_are_known_when_they_were_long_enough(seconds: float, within: float, is_known: bool) -> None:
    rounds = np.ones(10)
    assert ab_timing.is_known(rounds, rounds, within, seconds) is is_known


def test_rounds_that_differ_are_known_within_a_share_of_the_median() -> None:
    baseline, candidate = np.array([1.0, 2.0, 3.0]), np.ones(3)
    # Of three rounds the interval is their whole range, 1 to 3, and the median 2.
    assert ab_timing.is_known(baseline, candidate, 1.0, 9.0)
    assert not ab_timing.is_known(baseline, candidate, 0.99, 9.0)
    assert not ab_timing.is_known(baseline, candidate, 1.0, 9.1)
    found = ab_timing.median_ratio(baseline, candidate)
    assert (found.low, found.value, found.high) == (1.0, 2.0, 3.0)


def test_rounds_end_at_the_most_or_when_they_are_settled_after_the_fewest() -> None:
    def run(most: int, fewest: int, seconds: float, settles_at: int) -> tuple[int, list[int]]:
        asked: list[int] = []

        def settled(rounds: list[ab_timing.Seconds]) -> bool:
            asked.append(len(rounds[0]))
            return len(rounds[0]) >= settles_at

        limits = ab_timing.RoundLimits(most=most, fewest=fewest, seconds=seconds)
        one, other = ab_timing.interleave([lambda: 1.0, lambda: 2.0], limits, settled)
        assert set(one) == {1.0} and set(other) == {2.0} and len(one) == len(other)
        return len(one), asked

    assert run(6, 3, 3600.0, 99) == (6, [3, 4, 5])
    assert run(6, 3, 3600.0, 4) == (4, [3, 4])
    assert run(6, 3, 3600.0, 1) == (3, [3])
    assert run(6, 3, -1.0, 99) == (3, [])  # the time is up
    assert run(2, 5, 3600.0, 0) == (2, [])


def test_calls_are_timed_by_the_clock_that_is_given() -> None:
    ticks = iter([1_000_000_000, 3_500_000_000])
    called: list[int] = []
    assert ab_timing.timed(lambda: called.append(1), lambda: next(ticks))() == 2.5 and called == [1]
    noted: list[float] = []
    workload = ab_timing.cpu_noted(lambda: 7.0, noted)
    assert (workload(), workload()) == (7.0, 7.0) and len(noted) == 2 and all(each >= 0 for each in noted)
