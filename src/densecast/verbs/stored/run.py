"""One run over a store: what is left to do, who does it, how many errors are allowed, and what came of it."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from densecast.measure.distribute import local
from densecast.measure.distribute.job import Bench, Job
from densecast.measure.distribute.local import Progress, Tally
from densecast.measure.distribute.shards import Shards, part
from densecast.measure.store.record import Failure, Maker
from densecast.measure.store.recording import own_version
from densecast.measure.store.store import Scan, Store
from densecast.measure.store.unchanged import COLUMNS, Origins, Unchanged
from densecast.results.stored import ShardResult
from densecast.runtime import machine
from densecast.spec.store_options import StoreOptions


class Run:
    """A run over one store, of which nothing is computed yet."""

    def __init__(self, store: Store, options: StoreOptions, progress: Progress | None) -> None:
        self.store, self._options, self._progress = store, options, progress
        self._own: list[str] = []

    def inline(self, bench: Bench, ids: Sequence[str], origins: Origins) -> None:
        """Compute what is left of these images in this process; `origins` tells where each lies now.

        Raises:
            DensecastError: more images failed than may; of its kind where none may.
        """
        shards, tally = self._left(ids, origins)
        if shards.left and not tally.is_over:
            local.run_inline(bench, self.store, shards, tally)
        self._refuse(tally)

    def elsewhere(self, job: Job, artifact: str, ids: Sequence[str], origins: Origins) -> None:
        """Compute what is left in a process of its own, or on a cluster; `artifact` is the key that records tell.

        Raises:
            DensecastError: more images failed than may; of its kind where none may.
        """
        shards, tally = self._left(ids, origins)
        if shards.left and not tally.is_over:
            blame = _blame(artifact)
            address = self._options.ray_address
            if address is None:
                local.run_in_process(job, self.store, shards, tally, blame)
            else:
                from densecast.measure.distribute import ray_cluster

                ray_cluster.run_on_ray(job, self.store, shards, tally, blame, address)
        self._refuse(tally)

    def scan(self) -> Scan:
        """What the store holds now."""
        return self.store.scan()

    def shard_result(self) -> ShardResult:
        """What it holds of this shard."""
        scan = self.scan()
        failed = {each: scan.failed[each].text for each in self._own if each in scan.failed}
        done = sum(each in scan.done for each in self._own)
        return ShardResult(self.store.name, self._options.shard or "1/1", len(self._own), done, failed)

    def _left(self, ids: Sequence[str], origins: Origins) -> tuple[Shards, Tally]:
        """The ids that have no record, and how far the run is.

        Raises:
            BadDatasetError: one of its own images, or its ground truth, has changed since it was recorded.
        """
        ids = list(ids) if self._options.part is None else part(ids, *self._options.part)
        self._own, own = ids, frozenset(ids)
        unchanged = Unchanged(self.store.name, lambda each: origins(each) if each in own else ())
        scan = self.store.scan(unchanged.check, COLUMNS)
        failed = {} if self._options.retry_failed else {each: scan.failed[each] for each in ids if each in scan.failed}
        left = [each for each in ids if each not in scan.done and each not in failed]
        done = len(ids) - len(left) - len(failed)
        allowed = self._options.allowed_errors(len(ids))
        return Shards(left, self._options.shard_size), Tally(len(ids), allowed, done, failed, self._progress)

    def _refuse(self, tally: Tally) -> None:
        """End the run if more images failed than may.

        Raises:
            DensecastError: the image's own error where none may fail, else one that names some.
        """
        if not tally.is_over:
            return
        name, first = next(iter(tally.failed.items()))
        text = first.text if name in first.text else f"{name}: {first.text}"
        store, count = self.store.name, len(tally.failed)
        kind = type(Failure(first.code, first.text).error)
        where = f"The records are in {store}; --retry-failed tries failed images again, --max-errors allows some."
        if tally.allowed == 0:
            raise kind(f"{text} {where}")
        raise kind(f"{count} images failed, and {tally.allowed} may; the first: {text} {where}", field="max_errors")


def _blame(artifact: str) -> Maker:
    """Who records that a worker died: this process, which computes nothing."""
    return Maker(artifact, "", own_version(), platform.node(), machine.describe().cpu)
