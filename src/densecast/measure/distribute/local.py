"""Computes shards on this machine: in this process, or in one of its own whose death costs the image to blame alone."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from densecast.errors import WorkerError
from densecast.measure.distribute.job import Bench, Job, Outcome, work_on
from densecast.measure.distribute.shards import Shard, Shards
from densecast.measure.store.record import Failure, Maker, Record
from densecast.measure.store.store import Store
from densecast.runtime.processes import WorkerPool

_LOOK_S = 0.1
_DEATHS_UNOPENED = 2
_WHAT = "computes images"

Progress = Callable[[int, int], None]


@dataclass
class Tally:
    """How far a run is: images that are done or failed, of `total`, and how many may fail."""

    total: int
    allowed: int
    done: int = 0
    failed: dict[str, Failure] = field(default_factory=dict)
    progress: Progress | None = None

    @property
    def budget(self) -> int:
        """How many more images may fail."""
        return max(0, self.allowed - len(self.failed))

    @property
    def is_over(self) -> bool:
        """Whether more images have failed than may."""
        return len(self.failed) > self.allowed

    def add(self, outcome: Outcome) -> None:
        """Count a shard."""
        self.done += outcome.done
        self.failed.update(outcome.failed)
        self.show(0)

    def show(self, beyond: int) -> None:
        """Show progress, with images of shards that are not at their end."""
        if self.progress:
            self.progress(min(self.total, self.done + len(self.failed) + beyond), self.total)


def run_inline(bench: Bench, store: Store, shards: Shards, tally: Tally) -> None:
    """Compute all shards in this process."""
    while not tally.is_over and (shard := shards.take()) is not None:
        began, seen = time.monotonic(), 0

        def tick(images: int) -> None:
            nonlocal seen
            seen += images
            tally.show(seen)

        tally.add(work_on(bench, store, shard.ids, tally.budget, tick))
        shards.timed(shard, time.monotonic() - began)


def run_in_process(job: Job, store: Store, shards: Shards, tally: Tally, blame: Maker) -> None:
    """Compute all shards in a process of its own, and in another one when that dies.

    The images that processes die of are recorded as failed, by `blame`.

    Raises:
        WorkerError: processes died before they had the model open, one after the other.
        DensecastError: what is not about one image.
    """
    unopened = 0
    while not tally.is_over and shards.left:
        # A lock would be held for ever by a process that is killed with it.
        seen = multiprocessing.get_context("spawn").Value("q", 0, lock=False)
        with WorkerPool(1, _WHAT, _start, job, seen) as pool:
            try:
                pool.result(pool.submit(_open))
            except WorkerError:
                # Killed from outside, it opens when it is tried again; a model that ends its process does not.
                unopened += 1
                if unopened == _DEATHS_UNOPENED:
                    raise
                continue
            while not tally.is_over and (shard := shards.take()) is not None:
                began = time.monotonic()
                seen.value = 0
                future = pool.submit(_work, shard.ids, tally.budget)
                while not concurrent.futures.wait([future], timeout=_LOOK_S).done:
                    tally.show(seen.value)
                try:
                    outcome = pool.result(future)
                except WorkerError:
                    died(store, shards, shard, tally, blame)
                    break
                tally.add(outcome)
                shards.timed(shard, time.monotonic() - began)


def died(store: Store, shards: Shards, shard: Shard, tally: Tally, blame: Maker) -> None:
    """Note that the worker on a shard died; an image to blame is recorded as failed."""
    if store.holds(shard.ids):
        tally.add(Outcome(len(shard.ids)))
        return
    guilty = shards.died(shard)
    if guilty is None:
        return
    failure = Failure(
        WorkerError.__name__, f"{guilty}: the process that computed this image alone died, twice. Look at the image."
    )
    store.write([Record(guilty, failure, finished=datetime.now(UTC))], blame, None)
    tally.add(Outcome(0, {guilty: failure}))


class _Worker:
    """What a worker process has open."""

    job: Job
    seen: Any
    opened: AbstractContextManager[Bench]
    bench: Bench | None = None
    store: Store


def _start(job: Job, seen: Any) -> None:
    _Worker.job, _Worker.seen = job, seen


def _open() -> None:
    """Open the model and the data; they stay open until the process ends."""
    # Kept, or the model would be closed with the last reference to it.
    _Worker.opened = _Worker.job.open(None)
    _Worker.bench = _Worker.opened.__enter__()
    _Worker.store = Store.at(_Worker.job.store)


def _work(ids: tuple[str, ...], budget: int) -> Outcome:
    assert _Worker.bench is not None

    def tick(images: int) -> None:
        _Worker.seen.value += images

    return work_on(_Worker.bench, _Worker.store, ids, budget, tick)
