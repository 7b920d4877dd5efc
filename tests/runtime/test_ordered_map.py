"""Work in lanes: order, bounds, errors at their place, and nothing left behind."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from densecast.runtime.ordered_map import ordered_parallel_map

LANES = pytest.mark.parametrize("lanes", [1, 2, 5])


def lanes_alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("densecast lane")]


@LANES
def test_results_come_in_order_whichever_is_done_first(lanes: int) -> None:
    def work(lane: int, item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(ordered_parallel_map(work, range(40), lanes)) == [item * item for item in range(40)]
    assert not lanes_alive()


@LANES
def test_no_items_give_no_results(lanes: int) -> None:
    assert list(ordered_parallel_map(lambda lane, item: item, iter(()), lanes)) == []


def test_several_items_are_in_work_at_a_time_and_never_two_in_one_lane() -> None:
    both = threading.Barrier(3)
    busy: dict[int, int] = {0: 0, 1: 0, 2: 0}

    def work(lane: int, item: int) -> int:
        busy[lane] += 1
        assert busy[lane] == 1
        both.wait(timeout=10)  # nobody passes before three are here
        busy[lane] -= 1
        return lane

    assert sorted(ordered_parallel_map(work, range(3), 3)) == [0, 1, 2]


@LANES
def test_one_lane_is_the_callers_own_thread(lanes: int) -> None:
    names = set(ordered_parallel_map(lambda lane, item: threading.current_thread().name, range(50), lanes))
    assert names <= {threading.current_thread().name, *(f"densecast lane {lane}" for lane in range(1, lanes))}
    if lanes == 1:
        assert names == {threading.current_thread().name}


@LANES
def test_begun_items_are_bounded_however_slowly_results_are_taken(lanes: int) -> None:
    begun = 0

    def items() -> Iterator[int]:
        nonlocal begun
        for item in itertools.count():
            begun = item + 1
            yield item

    results = ordered_parallel_map(lambda lane, item: item, items(), lanes, ahead=2 * lanes)
    for taken in range(30):
        assert next(results) == taken
        time.sleep(0.002)
        assert begun <= taken + 1 + 2 * lanes
    results.close()
    assert not lanes_alive()


@LANES
def test_an_error_comes_out_as_itself_after_all_results_before_it(lanes: int) -> None:
    class OddError(Exception):
        pass

    broken = OddError("seven")

    def work(lane: int, item: int) -> int:
        time.sleep(0.003 if item < 7 else 0)
        if item == 7:
            raise broken
        return item

    found = []
    with pytest.raises(OddError) as raised:
        for result in ordered_parallel_map(work, range(100), lanes):
            found.append(result)
    assert raised.value is broken
    assert found == list(range(7))
    assert not lanes_alive()


@LANES
def test_the_first_of_several_errors_counts(lanes: int) -> None:
    def work(lane: int, item: int) -> int:
        time.sleep(0.01 if item == 3 else 0)
        raise ValueError(item)

    with pytest.raises(ValueError, match=r"^0$"):
        list(ordered_parallel_map(work, range(20), lanes))


@LANES
def test_an_error_of_the_items_themselves_comes_at_its_place(lanes: int) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise LookupError("no sixth")

    found = []
    with pytest.raises(LookupError, match="no sixth"):
        for result in ordered_parallel_map(lambda lane, item: item, items(), lanes):
            found.append(result)
    assert found == list(range(5))


@LANES
def test_closing_early_waits_for_what_is_in_work_and_ends_all_threads(lanes: int) -> None:
    working = 0

    def work(lane: int, item: int) -> int:
        nonlocal working
        working += 1
        time.sleep(0.005)
        working -= 1
        return item

    results = ordered_parallel_map(work, itertools.count(), lanes)
    assert [next(results), next(results)] == [0, 1]
    results.close()
    assert working == 0 and not lanes_alive()


def test_a_stop_in_a_helper_does_not_leave_the_caller_waiting() -> None:
    def work(lane: int, item: int) -> int:
        if lane:
            raise SystemExit(3)
        time.sleep(0.01)
        return item

    with pytest.raises(SystemExit):
        list(ordered_parallel_map(work, range(100), 3))
