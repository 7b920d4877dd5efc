"""Ordered parallel map; the caller is one of the workers.

A worker takes an item through all of its stages. While one worker reads a file, another waits for the engine and a
third postprocesses a result, so the stages of different items overlap, and never more threads run than there are
workers. A pipeline with a thread for each stage would need more threads, all competing for the same CPUs. The caller
of the iterator acts as a worker whenever the next result is not ready.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_parallel_map(
    work: Callable[[int, Item], Result], items: Iterable[Item], workers: int, *, ahead: int | None = None
) -> Generator[Result, None, None]:
    """Yield `work(worker, item)` for every item, in the items' order, with `workers` items in work at a time.

    `worker` is the worker's number, from 0. At most `ahead` items (by default two per worker) are started beyond the
    last result taken, so memory does not depend on how many there are. One worker is a plain loop: no thread is
    started. An error of an item, or of `items` itself, is raised at its place, after all results before it. Closing the
    iterator waits for the items in work.
    """
    board: _Board[Item, Result] = _Board(iter(items), ahead or 2 * workers)
    helpers = [
        threading.Thread(target=_work_on, args=(board, work, worker), name=f"densecast worker {worker}")
        for worker in range(1, workers)
    ]
    for helper in helpers:
        helper.start()
    try:
        while True:
            entry = board.next_result()
            if isinstance(entry, _Made):
                yield entry.result
            elif isinstance(entry, _Failed):
                raise entry.error
            elif entry is None:
                return
            else:
                index, item = entry
                board.put(index, _attempt(work, 0, item, Exception))
    finally:
        board.stop()
        for helper in helpers:
            helper.join()


@dataclass(frozen=True, slots=True)
class _Made(Generic[Result]):
    """An item's result."""

    result: Result


@dataclass(frozen=True, slots=True)
class _Failed:
    """The error that an item ended with."""

    error: BaseException


class _Board(Generic[Item, Result]):
    """Shared state of the workers: items not yet started, and results that are waiting for their turn."""

    def __init__(self, items: Iterator[Item], ahead: int) -> None:
        self._items, self._ahead = items, ahead
        self._changed = threading.Condition()
        self._done: dict[int, _Made[Result] | _Failed] = {}
        self._begun = self._given = 0
        self._exhausted = False

    def next_result(self) -> _Made[Result] | _Failed | tuple[int, Item] | None:
        """The next result in order; or, while it is not there, an item to work on; None after the last one."""
        with self._changed:
            while True:
                if self._given in self._done:
                    result = self._done.pop(self._given)
                    self._given += 1
                    self._changed.notify_all()
                    return result
                if self._exhausted and self._given == self._begun:
                    return None
                taken = self._take()
                if taken is not None:
                    return taken
                if self._given not in self._done and not (self._exhausted and self._given == self._begun):
                    self._changed.wait()

    def take(self) -> tuple[int, Item] | None:
        """Wait for an item to work on; None when there are no more."""
        with self._changed:
            while not self._exhausted:
                taken = self._take()
                if taken is not None:
                    return taken
                if not self._exhausted:
                    self._changed.wait()
            return None

    def put(self, index: int, done: _Made[Result] | _Failed) -> None:
        """Store an item's result or error. After an error no further item is started: the results end there."""
        with self._changed:
            self._done[index] = done
            self._exhausted |= isinstance(done, _Failed)
            self._changed.notify_all()

    def stop(self) -> None:
        """Start no further items."""
        with self._changed:
            self._exhausted = True
            self._done.clear()
            self._changed.notify_all()

    def _take(self) -> tuple[int, Item] | None:
        """The next item, unless it is too far ahead. Called with the lock held."""
        if self._exhausted or self._begun - self._given >= self._ahead:
            return None
        index = self._begun
        try:
            item = next(self._items)
        except StopIteration:
            self._exhausted = True
            self._changed.notify_all()
            return None
        except Exception as error:  # the caller's own: it is raised again, as it is, at its place
            self._begun += 1
            self._done[index] = _Failed(error)
            self._exhausted = True
            self._changed.notify_all()
            return None
        self._begun += 1
        return index, item


def _work_on(board: _Board[Item, Result], work: Callable[[int, Item], Result], worker: int) -> None:
    """A worker thread: process items until there are no more."""
    while (taken := board.take()) is not None:
        index, item = taken
        board.put(index, _attempt(work, worker, item, BaseException))


def _attempt(
    work: Callable[[int, Item], Result], worker: int, item: Item, caught: type[BaseException]
) -> _Made[Result] | _Failed:
    try:
        return _Made(work(worker, item))
    except caught as error:
        return _Failed(error)
