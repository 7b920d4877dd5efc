"""The result of a comparison from its store: the same to the last digit in whatever order images came."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from densecast.errors import BadStoreError
from densecast.io import codec
from densecast.measure import truth_check
from densecast.measure.change import paired_drop
from densecast.measure.store import arrow, parts
from densecast.measure.store.scoring import require_complete
from densecast.measure.store.store import Scan, Store
from densecast.metrics._base import METRICS, Metric, TellsTruth
from densecast.results.compare import ComparedStage, CompareResult, MetricChange
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import TensorSpec
from densecast.tasks._base import TASKS
from densecast.verbs.stored.compare_records import ComparedColumns, ComparedImage, add_row, tally_of

_NAMED = 3


def result_of_comparison(store: Store, scan: Scan | None = None) -> CompareResult:
    """The result from a store of which nothing is missing; what failed, and several precisions, are remarked.

    Raises:
        BadStoreError: images are missing, or a part is damaged.
        BadDatasetError: ground truth that makes a score a lie, see `truth_check`.
    """
    scan = scan or store.scan()
    require_complete(store, scan)
    manifest, model = store.manifest, store.manifest.model
    titles, origins = model["titles"], model["origins"]
    metric: Metric[Any, Any, Any] | None = None
    if manifest.record is not None and manifest.spec.evaluation is not None:
        metric = METRICS.load_trusted(manifest.spec.evaluation.metric)
    rows = _rows(store, ComparedColumns(len(titles) - 1, metric), repeated=scan.summary.is_repeated)
    task = TASKS.load_trusted(manifest.spec.task)
    # Outputs are told by the reference's names, which a graph may call something else than the spec.
    spec = replace(manifest.spec, outputs=_named(manifest.spec.outputs, model["outputs"]))
    ran, remarks = _precisions(store, len(titles))
    remarks += _truth_remarks(store, metric, rows)
    stages = []
    for place in range(1, len(titles)):
        tally = tally_of(task, spec)
        for row in rows:
            add_row(tally, row.image, row.stages[place - 1], model["outputs"])
        change = _change(store, metric, rows, place)
        comparison = tally.comparison(origins[0], origins[place], ran[place], len(rows), change)
        stages.append(ComparedStage(titles[place], comparison))
    if scan.failed:
        names = sorted(scan.failed)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        remarks += (
            f"{len(names)} of {manifest.images} images failed and are not compared: {', '.join(names[:_NAMED])}{more}",
        )
    return CompareResult(manifest.spec.name, titles[0], len(rows), tuple(stages), remarks)


def worst_of(store: Store, scan: Scan, most: int) -> dict[str, float]:
    """The images that differ most, in whichever stage, with the share that differs there."""
    names = [f"stage{place}_difference" for place in range(1, len(store.manifest.model["titles"]))]
    found: dict[str, float] = {}
    for batch in store.done_batches(["id", *names], repeated=scan.summary.is_repeated):
        columns = [batch.column(name).to_pylist() for name in names]
        found.update(zip(parts.ids_of(batch.column("id")), map(max, *columns, columns[0]), strict=True))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:most])


def _rows(store: Store, columns: ComparedColumns, *, repeated: bool) -> list[ComparedImage]:
    """What is kept of every image that is done, in the order of the run."""
    found: dict[str, ComparedImage] = {}
    for batch in store.done_batches(["id", *columns.names], repeated=repeated):
        ids = parts.ids_of(batch.column("id"))
        with arrow.reading(store.name):
            decoded = list(columns.decode(ids, {name: batch.column(name) for name in columns.names}))
        found.update(zip(ids, decoded, strict=True))
    return [found[each] for each in store.planned() if each in found]


def _named(tensors: tuple[TensorSpec, ...], names: list[str]) -> tuple[TensorSpec, ...]:
    return tuple(replace(tensor, name=name) for tensor, name in zip(tensors, names, strict=True))


def _precisions(store: Store, stages: int) -> tuple[list[PrecisionRan], tuple[str, ...]]:
    """What ran in each stage for most images, and a remark if it was not the same for all."""
    told = [json.loads(text) if text else {} for text in store.precisions()]
    if not told:
        raise BadStoreError(f"{store.name} has no image that was compared: all of them failed.")
    computes = list(dict.fromkeys(str(each.get("compute", "")) for each in told))
    remarks = (f"images were computed in several precisions: {'; '.join(computes)}",) if len(computes) > 1 else ()
    ran = [codec.from_plain(each, PrecisionRan, store.name) for each in told[0].get("stages", [])]
    if len(ran) != stages:
        raise BadStoreError(f"{store.name}: its records are not those of a comparison of {stages} stages.")
    return ran, remarks


def _truth_remarks(store: Store, metric: object, rows: list[ComparedImage]) -> tuple[str, ...]:
    """What is to be said of the ground truth, which is the same for all stages."""
    manifest = store.manifest
    if not isinstance(metric, TellsTruth):
        return manifest.remarks
    summary = metric.truth([row.counts[0] for row in rows], manifest.spec)
    checked = truth_check.check(summary, manifest.spec.labels, allow_ignored=manifest.allow_ignored)
    return manifest.remarks + checked


def _change(
    store: Store, metric: Metric[Any, Any, Any] | None, rows: list[ComparedImage], place: int
) -> MetricChange | None:
    """The metric of one stage against the reference's."""
    if metric is None:
        return None
    spec = store.manifest.spec
    one, other = ([row.counts[each] for row in rows] for each in (0, place))
    left, right = metric.score(one, spec), metric.score(other, spec)
    return MetricChange(left.name, left.value, right.value, paired_drop(metric, spec, one, other))
