"""A run's work as a value that travels to other processes and machines, and the work on one shard."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from densecast.measure.store.count_columns import Columns
from densecast.measure.store.record import Failure, Maker, Record
from densecast.measure.store.store import Store


class Bench(Protocol):
    """An opened job: an engine with its model, and the images."""

    @property
    def maker(self) -> Maker:
        """Who makes the records."""

    @property
    def columns(self) -> Columns | None:
        """The columns of the counts, where the job counts."""

    def records(self, ids: Sequence[str]) -> Generator[Record, None, None]:
        """The records of these images, in order."""


class Job(Protocol):
    """What to do with images; a frozen dataclass that can be pickled."""

    @property
    def store(self) -> str:
        """The store that the records go to."""

    def open(self, threads: int | None) -> AbstractContextManager[Bench]:
        """Open the model and the data, on this machine; `threads` None is the job's own number."""


@dataclass(frozen=True)
class Outcome:
    """What became of a shard: how many images are done, which failed; `stopped`: more than may."""

    done: int = 0
    failed: dict[str, Failure] = field(default_factory=dict)
    stopped: bool = False


def work_on(
    bench: Bench, store: Store, ids: Sequence[str], budget: int, tick: Callable[[int], None] | None = None
) -> Outcome:
    """Compute the records of a shard and append them to the store; stops when more than `budget` images have failed.

    Nothing is written before the end, and then all of it: a shard is there or not. If an error ends it that is not
    about one image, what was computed before is written as well.
    """
    made: list[Record] = []
    failed: dict[str, Failure] = {}
    stopped = False
    try:
        with contextlib.closing(bench.records(ids)) as records:
            for record in records:
                made.append(record)
                if record.failure is not None:
                    failed[record.id] = record.failure
                if tick:
                    tick(1)
                if len(failed) > budget:
                    stopped = True
                    break
    finally:
        if made:
            store.write(made, bench.maker, bench.columns)
    return Outcome(len(made) - len(failed), failed, stopped)
