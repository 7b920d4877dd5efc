"""Ordered parallel map: order, bounds, errors at their place, and nothing left behind."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest

from densecast.runtime.ordered_map import ordered_parallel_map

WORKERS = pytest.mark.parametrize("workers", [1, 2, 5])


def worker_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("densecast worker")]


@WORKERS
def test_results_come_in_order_whichever_is_done_first(workers: int) -> None:
    def work(worker: int, item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(ordered_parallel_map(work, range(40), workers)) == [item * item for item in range(40)]
    assert not worker_threads()


@WORKERS
def test_no_items_give_no_results(workers: int) -> None:
    assert list(ordered_parallel_map(lambda worker, item: item, iter(()), workers)) == []


def test_several_items_are_in_work_at_a_time_and_never_two_in_one_worker() -> None:
    both = threading.Barrier(3)
    busy: dict[int, int] = {0: 0, 1: 0, 2: 0}

    def work(worker: int, item: int) -> int:
        busy[worker] += 1
        assert busy[worker] == 1
        both.wait(timeout=10)  # nobody passes before three are here
        busy[worker] -= 1
        return worker

    assert sorted(ordered_parallel_map(work, range(3), 3)) == [0, 1, 2]


@WORKERS
def test_one_worker_is_the_callers_own_thread(workers: int) -> None:
    names = set(ordered_parallel_map(lambda worker, item: threading.current_thread().name, range(50), workers))
    assert names <= {threading.current_thread().name, *(f"densecast worker {worker}" for worker in range(1, workers))}
    if workers == 1:
        assert names == {threading.current_thread().name}


@WORKERS
def test_begun_items_are_bounded_however_slowly_results_are_taken(workers: int) -> None:
    begun = 0

    def items() -> Iterator[int]:
        nonlocal begun
        for item in itertools.count():
            begun = item + 1
            yield item

    results = ordered_parallel_map(lambda worker, item: item, items(), workers, ahead=2 * workers)
    for taken in range(30):
        assert next(results) == taken
        time.sleep(0.002)
        assert begun <= taken + 1 + 2 * workers
    results.close()
    assert not worker_threads()


@WORKERS
def test_an_error_comes_out_as_itself_after_all_results_before_it(workers: int) -> None:
    class OddError(Exception):
        pass

    broken = OddError("seven")

    def work(worker: int, item: int) -> int:
        time.sleep(0.003 if item < 7 else 0)
        if item == 7:
            raise broken
        return item

    found = []
    with pytest.raises(OddError) as raised:
        for result in ordered_parallel_map(work, range(100), workers):
            found.append(result)
    assert raised.value is broken
    assert found == list(range(7))
    assert not worker_threads()


@WORKERS
def test_the_first_of_several_errors_counts(workers: int) -> None:
    def work(worker: int, item: int) -> int:
        time.sleep(0.01 if item == 3 else 0)
        raise ValueError(item)

    with pytest.raises(ValueError, match=r"^0$"):
        list(ordered_parallel_map(work, range(20), workers))


@WORKERS
def test_an_error_of_the_items_themselves_comes_at_its_place(workers: int) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise LookupError("no sixth")

    found = []
    with pytest.raises(LookupError, match="no sixth"):
        for result in ordered_parallel_map(lambda worker, item: item, items(), workers):
            found.append(result)
    assert found == list(range(5))


@WORKERS
def test_closing_early_waits_for_what_is_in_work_and_ends_all_threads(workers: int) -> None:
    begun, ended = itertools.count(), itertools.count()  # whose `next` no thread divides, unlike `+=`

    def work(worker: int, item: int) -> int:
        next(begun)
        time.sleep(0.005)
        next(ended)
        return item

    results = ordered_parallel_map(work, itertools.count(), workers)
    assert [next(results), next(results)] == [0, 1]
    results.close()
    assert next(begun) == next(ended) and not worker_threads()


def test_a_stop_in_a_helper_does_not_leave_the_caller_waiting() -> None:
    def work(worker: int, item: int) -> int:
        if worker:
            raise SystemExit(3)
        time.sleep(0.01)
        return item

    with pytest.raises(SystemExit):
        list(ordered_parallel_map(work, range(100), 3))
