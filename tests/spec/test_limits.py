"""A limit is kept or it is not; what was not measured is neither, and what is not a number keeps no limit."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from densecast.artifact.search_record import Trial
from densecast.errors import UsageError
from densecast.spec.limits import check_stated, is_at_least, is_at_most
from densecast.spec.score import Interval

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("measured", "limit", "at_most", "at_least"),
    [
        (0.1, 0.2, True, False),
        (0.2, 0.2, True, True),
        (0.3, 0.2, False, True),
        (-0.1, 0.0, True, False),
        (INF, 0.2, False, True),
        (-INF, 0.2, True, False),
        (NAN, 0.2, False, False),
        (NAN, INF, False, False),
        (0.1, NAN, False, False),
    ],
)
def test_a_limit_is_kept_up_to_itself_and_never_by_nan(
    measured: float, limit: float, at_most: bool, at_least: bool
) -> None:
    assert is_at_most("--limit", measured, limit) is at_most
    assert is_at_least("--limit", measured, limit) is at_least


@pytest.mark.parametrize("check", [is_at_most, is_at_least])
def test_a_limit_on_what_was_not_measured_is_a_wrong_call(check) -> None:
    with pytest.raises(UsageError, match="--limit limits something that was not measured"):
        check("--limit", None, 0.5)


def test_a_stated_limit_is_a_number() -> None:
    check_stated("--limit", None)
    check_stated("--limit", 0.0)
    with pytest.raises(UsageError, match="--limit must be a number"):
        check_stated("--limit", NAN)


@pytest.mark.parametrize("drop", [Interval(NAN, 0.1, 0.2), Interval(0.1, NAN, NAN), Interval(NAN, NAN, NAN)])
def test_a_drop_that_is_not_a_number_keeps_no_promise_and_is_the_worst(drop: Interval) -> None:
    broken, sound = Trial("broken", (), drop, 1.0, 1.0), Trial("sound", (), Interval(5.0, 4.0, 6.0), 1.0, 1.0)
    assert not broken.is_within(99.0)
    assert sound.is_within(6.0) and not sound.is_within(5.9)
    assert min([broken, sound], key=lambda trial: trial.worst_drop) is sound


numbers = some.floats(allow_nan=False)


@given(numbers, numbers, numbers)
def test_a_looser_limit_keeps_all_that_a_stricter_one_keeps(measured: float, one: float, other: float) -> None:
    strict, loose = sorted((one, other))
    assert is_at_most("--limit", measured, strict) <= is_at_most("--limit", measured, loose)
    assert is_at_least("--limit", measured, loose) <= is_at_least("--limit", measured, strict)


@given(some.tuples(numbers, numbers, numbers), some.tuples(numbers, numbers, numbers), numbers, numbers)
def test_a_promise_of_more_points_holds_wherever_one_of_fewer_does_and_for_less_that_is_lost(
    one: tuple[float, ...], other: tuple[float, ...], points: float, more: float
) -> None:
    fewer, more = sorted((points, more))
    # (low, value, high) of two trials, of which the first lost no more by any of the three.
    better, worse = (tuple(map(pick, sorted(one), sorted(other))) for pick in (min, max))
    trials = [
        Trial(name, (), Interval(drop[1], drop[0], drop[2]), 1.0, 1.0) for name, drop in (("a", better), ("b", worse))
    ]
    for trial in trials:
        assert trial.is_within(fewer) <= trial.is_within(more)
    assert trials[1].is_within(fewer) <= trials[0].is_within(fewer)
