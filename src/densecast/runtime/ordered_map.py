"""Ordered parallel map; the caller is one of the workers.

A lane takes an item through all of its stages. While one lane reads a file, another waits for the engine and a third
decodes a result, so the stages of different items overlap, and there is never more running than lanes: work that is
handed from stage to stage by threads of their own needs one thread more for each stage, all of them after the same
CPUs. The caller of the iterator is itself a lane whenever the next result is not there yet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_parallel_map(
    work: Callable[[int, Item], Result], items: Iterable[Item], lanes: int, *, ahead: int | None = None
) -> Generator[Result, None, None]:
    """`work(lane, item)` of every item, in the items' order, on up to `lanes` items at a time.

    At most `ahead` items (by default two a lane) are begun beyond the last result taken, so memory does not depend on
    how many there are. One lane is a plain loop: no thread is started. An error of an item, or of `items` itself,
    comes out at its place, after all results before it. Closing the iterator waits for the items in work.
    """
    board: _Board[Item, Result] = _Board(iter(items), ahead or 2 * lanes)
    helpers = [
        threading.Thread(target=_help, args=(board, work, lane), name=f"densecast lane {lane}")
        for lane in range(1, lanes)
    ]
    for helper in helpers:
        helper.start()
    try:
        while True:
            found = board.next_result()
            if isinstance(found, _Made):
                yield found.result
            elif isinstance(found, _Failed):
                raise found.error
            elif found is None:
                return
            else:
                index, item = found
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
    """What an item ended with instead."""

    error: BaseException


class _Board(Generic[Item, Result]):
    """Which items are to be taken, and the results that wait for their turn."""

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
                    found = self._done.pop(self._given)
                    self._given += 1
                    self._changed.notify_all()
                    return found
                if self._exhausted and self._given == self._begun:
                    return None
                taken = self._take()
                if taken is not None:
                    return taken
                if self._given not in self._done and not (self._exhausted and self._given == self._begun):
                    self._changed.wait()

    def take(self) -> tuple[int, Item] | None:
        """An item to work on, waited for; None when there are no more."""
        with self._changed:
            while not self._exhausted:
                taken = self._take()
                if taken is not None:
                    return taken
                if not self._exhausted:
                    self._changed.wait()
            return None

    def put(self, index: int, done: _Made[Result] | _Failed) -> None:
        """How an item ended. After an error nothing more is begun: the results end there."""
        with self._changed:
            self._done[index] = done
            self._exhausted |= isinstance(done, _Failed)
            self._changed.notify_all()

    def stop(self) -> None:
        """No item is begun from now on."""
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


def _help(board: _Board[Item, Result], work: Callable[[int, Item], Result], lane: int) -> None:
    """What a thread does: items, until there are no more."""
    while (taken := board.take()) is not None:
        index, item = taken
        board.put(index, _attempt(work, lane, item, BaseException))


def _attempt(
    work: Callable[[int, Item], Result], lane: int, item: Item, caught: type[BaseException]
) -> _Made[Result] | _Failed:
    try:
        return _Made(work(lane, item))
    except caught as error:
        return _Failed(error)
