"""Brings the records of a run's shards together: checks that none is missing, scores them, makes few large files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densecast.errors import UsageError
from densecast.io import files
from densecast.measure.store import arrow, parts
from densecast.measure.store.parts import DONE, FAILED
from densecast.measure.store.scoring import require_complete
from densecast.measure.store.store import Store, Summary
from densecast.results.compare import CompareResult
from densecast.results.predictions import EvaluateResult
from densecast.results.stored import ShardResult
from densecast.verbs.stored.compare_score import result_of_comparison
from densecast.verbs.stored.evaluate import result_of, write_results

_ROWS = 1 << 16
_BYTES = 64 << 20


def merge(
    store: Path | str, others: Sequence[Path | str] | Path | str = (), *, results: Path | str | None = None
) -> EvaluateResult | CompareResult | ShardResult:
    """The result of a run from its store, to which the records of other stores of the same run are added first.

    Small files become few large ones. A run of `infer` has no score: the result says what it holds; one of `compare`
    has its comparison. `results` is a JSON file to write for the data set's evaluation server.

    Raises:
        BadStoreError: no store, a damaged one, or images of the run that have no record.
        UsageError: a store of another run.
    """
    target = Store.at(str(store))
    for each in files.several(others, "others"):
        _add(target, Store.at(str(each)))
    found = complete(target)
    compact(target, found)
    if results is not None:
        write_results(target, found, results)
    if target.manifest.verb == "compare":
        return result_of_comparison(target)
    if target.manifest.metric is not None:
        return result_of(target, found)
    failed = {sample_id: failure.text for sample_id, failure in found.failed.items()}
    return ShardResult(target.name, "1/1", target.manifest.images, found.done, failed)


def complete(store: Store) -> Summary:
    """What a store holds, which has to be all images of its run.

    Raises:
        BadStoreError: it is not, or a part is damaged.
    """
    scan = store.scan()
    require_complete(store, scan)
    return scan.summary


def _add(target: Store, other: Store) -> None:
    """Copy the parts of another store of the same run, whole and under their own names."""
    if other.name == target.name:
        raise UsageError(f"{other.name} is named twice.", field="store")
    target.manifest.require(other.manifest.key, target.name)
    for folder in (DONE, FAILED):
        there = set(target.names(folder))
        for name in other.names(folder):
            if name not in there:
                target.put(parts.Part(name, other.read(name)))


def compact(store: Store, found: Summary) -> None:
    """Write the records into few large files, each image once, and remove the small ones.

    Killed at any moment, every record is still there, some twice; the next merge goes on.
    """
    before = store.names(DONE)
    if len(before) > 1:
        written = _rewritten(store, repeated=found.is_repeated)
        for name in before:
            if name not in written:
                store.remove(name)


def _rewritten(store: Store, *, repeated: bool) -> set[str]:
    pa, _ = arrow.load()
    written: set[str] = set()
    waiting: dict[str, list[Any]] = {}

    def flush(precision: str) -> None:
        batches = waiting.pop(precision, [])
        if batches:
            table = parts.with_facts(pa.Table.from_batches(batches), precision, store.manifest.key.digest)
            part = parts.write_table(table, DONE)
            store.put(part)
            written.add(part.name)

    for batch in store.done_batches(None, repeated=repeated):
        precision = parts.precision_in(batch.schema)
        # Which rows go together depends on types as well: a plug-in may have changed those of its counts.
        key = waiting.setdefault(precision, [])
        if key and not key[0].schema.equals(batch.schema):
            flush(precision)
            key = waiting.setdefault(precision, [])
        key.append(batch)
        if sum(each.num_rows for each in key) >= _ROWS or sum(each.nbytes for each in key) >= _BYTES:
            flush(precision)
    for precision in list(waiting):
        flush(precision)
    return written
