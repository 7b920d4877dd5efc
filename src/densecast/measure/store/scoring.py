"""Computes a run's score from its store, the same to the last digit whatever order its records came in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from densecast.errors import BadStoreError, UsageError
from densecast.io import codec
from densecast.measure import truth_check
from densecast.measure.other_reading import OtherReading
from densecast.measure.store import arrow, parts
from densecast.measure.store.count_columns import CountColumns
from densecast.measure.store.store import Scan, Store, Summary
from densecast.metrics._base import (
    METRICS,
    CountBlock,
    Metric,
    ScoresBlocks,
    ScoresStreams,
    TellsTruth,
    TruthSummary,
)
from densecast.spec.model import ModelSpec
from densecast.spec.precision import PrecisionRan
from densecast.spec.score import Score

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Scored:
    """A store's score, and the precision that ran for most of its images."""

    score: Score
    precision: PrecisionRan


def metric_of(store: Store) -> Metric[Any, Any, Any]:
    """The metric that a store's counts are of.

    Raises:
        UsageError: its run has measured nothing.
        UnknownNameError, PluginError: it is not installed, or of a package that nobody has allowed.
    """
    if store.manifest.metric is None:
        verb = store.manifest.verb
        raise UsageError(f"{store.name} holds records of {verb}, not of evaluate: it has no score.", field="store")
    metric = METRICS.load_trusted(store.manifest.metric)
    metric.check(store.manifest.spec)
    return metric


def counts(store: Store, *, repeated: bool, reading: OtherReading | None = None) -> Iterator[Any]:
    """The count of every image that is done, each once; see `Store.done_batches`.

    What images have shown of another `reading` is added to it.

    Raises:
        BadStoreError: a part is damaged.
    """
    columns = CountColumns.of(metric_of(store))
    for batch in store.done_batches(["id", *columns.names, *_shown(reading)], repeated=repeated):
        _add_shown(batch, reading)
        ids = parts.ids_of(batch.column("id"))
        with arrow.reading(store.name):
            yield from columns.decode(ids, {name: batch.column(name) for name in columns.names})


def blocks(store: Store, *, repeated: bool, reading: OtherReading | None = None) -> Iterator[CountBlock]:
    """The same counts field by field, some thousand at a time.

    Raises:
        BadStoreError: a part is damaged.
    """
    columns = CountColumns.of(metric_of(store))
    for batch in store.done_batches(["id", *columns.names, *_shown(reading)], repeated=repeated):
        _add_shown(batch, reading)
        with arrow.reading(store.name):
            yield columns.decode_block(
                parts.ids_of(batch.column("id")), {name: batch.column(name) for name in columns.names}
            )


def _shown(reading: OtherReading | None) -> tuple[str, ...]:
    return () if reading is None else (parts.SHOWN,)


def _add_shown(batch: Any, reading: OtherReading | None) -> None:
    """Add what a batch's images have shown; records of older versions have shown nothing."""
    if reading is not None and parts.SHOWN in batch.schema.names:
        for shown in batch.column(parts.SHOWN).drop_null().to_pylist():
            reading.add(shown)


def score(store: Store, found: Summary) -> Scored:
    """The score over all images that are `found` done; what failed, and several precisions, are remarked.

    The caller has seen to it that none is missing, see `require_complete`.

    Raises:
        BadStoreError: a part is damaged.
        BadDatasetError: ground truth that makes the score a lie, see `truth_check`.
    """
    manifest, metric = store.manifest, metric_of(store)
    judge, reading = _Judge(metric, manifest.spec), OtherReading(manifest.spec)
    if isinstance(metric, ScoresBlocks):
        every = blocks(store, repeated=found.is_repeated, reading=reading)
        value = metric.score_blocks(judge.passing_blocks(every), manifest.spec)
    else:
        stream = judge.passing(counts(store, repeated=found.is_repeated, reading=reading))
        if isinstance(metric, ScoresStreams):
            value = metric.score_stream(stream, manifest.spec)
        else:
            value = metric.score(list(stream), manifest.spec)
    remarks = manifest.remarks
    if judge.truth is not None:
        remarks += truth_check.check(judge.truth, manifest.spec.labels, allow_ignored=manifest.allow_ignored)
    remarks += truth_check.of_no_number(value, manifest.spec.task) + reading.remarks()
    precisions = store.precisions()
    if found.failed:
        names = sorted(found.failed)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        remarks += (
            f"{len(names)} of {manifest.images} images failed and are not in the score: "
            f"{', '.join(names[:_NAMED])}{more}",
        )
    ran = {precision: codec.from_plain(_json(precision), PrecisionRan, store.name) for precision in precisions}
    by_type: dict[str, int] = {}
    for precision, images in precisions.items():
        compute = str(ran[precision])
        by_type[compute] = by_type.get(compute, 0) + images
    if len(by_type) > 1:
        shown = ", ".join(f"{compute} {images}" for compute, images in by_type.items())
        remarks += (f"images were computed in several precisions: {shown}",)
    most = next(iter(ran.values()), PrecisionRan("unknown", {}, store.name))
    return Scored(replace(value, data=manifest.record, protocol=manifest.protocol, remarks=remarks), most)


def require_complete(store: Store, scan: Scan) -> None:
    """Check that every image of the run has a result or a failure.

    Raises:
        BadStoreError: names some that have not.
    """
    missing = store.manifest.images - len(scan.done) - len(scan.failed)
    if not missing:
        return
    absent = [each for each in store.planned() if each not in scan.done and each not in scan.failed]
    if not absent:
        raise BadStoreError(f"{store.name} holds images that its run does not have.")
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    raise BadStoreError(
        f"{len(absent)} of {store.manifest.images} images have no record yet: {', '.join(absent[:_NAMED])}{more}. Run "
        "the same command, or the shards that are missing, again."
    )


class _Judge:
    """Adds up what the ground truth held, while counts go by."""

    _CHUNK = 4096

    def __init__(self, metric: object, spec: ModelSpec) -> None:
        self._metric, self._spec = metric, spec
        self.truth: TruthSummary | None = None

    def passing(self, stream: Iterator[Any]) -> Iterator[Any]:
        """The same counts."""
        if not isinstance(self._metric, TellsTruth):
            yield from stream
            return
        chunk: list[Any] = []
        for count in stream:
            chunk.append(count)
            if len(chunk) == self._CHUNK:
                self._add(chunk)
                chunk = []
            yield count
        self._add(chunk)

    def passing_blocks(self, stream: Iterator[CountBlock]) -> Iterator[CountBlock]:
        """The same blocks of counts."""
        assert isinstance(self._metric, ScoresBlocks)
        for block in stream:
            own = self._metric.truth_of_block(block, self._spec)
            if own is not None:
                self.truth = own if self.truth is None else self.truth + own
            yield block

    def _add(self, chunk: list[Any]) -> None:
        assert isinstance(self._metric, TellsTruth)
        own = self._metric.truth(chunk, self._spec)
        self.truth = own if self.truth is None else self.truth + own


def _json(text: str) -> Any:
    import json

    return json.loads(text) if text else {"compute": "unknown", "layers": {}, "source": "unknown"}
