"""Counts a metric for some images where `on` says, for searches that measure one model after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densecast.artifact import CompiledArtifact
from densecast.errors import UsageError
from densecast.measure.distribute.local import Progress
from densecast.measure.ground_truth import GroundTruth
from densecast.measure.store import parts
from densecast.measure.store.count_columns import CountColumns
from densecast.measure.store.scoring import metric_of
from densecast.measure.store.store import Store
from densecast.pipeline import PipelineConfig
from densecast.spec.augment import Augment
from densecast.spec.data_options import Data
from densecast.spec.sample import Sample, Split
from densecast.spec.store_options import StoreOptions
from densecast.spec.verb_options import EvaluateOptions
from densecast.verbs.stored.data import origins_of
from densecast.verbs.stored.evaluate import EvaluateJob, manifest_of
from densecast.verbs.stored.run import Run


def counts_on(
    on: str,
    artifact: CompiledArtifact,
    truth: GroundTruth,
    samples: Sequence[Sample],
    data: Path | Data,
    split: Split,
    store: Path,
    progress: Progress | None = None,
) -> list[Any]:
    """The metric's count of each sample, in order, of the model in `artifact`, computed where `on` says.

    `local` is a process of its own. Records are kept in `store`, a new folder; on a cluster it, the artifact and the
    data have to be at the same paths on all machines.

    Raises:
        UsageError: the metric's counts cannot be recorded.
        DensecastError: an image could not be counted; its own error.
    """
    options = EvaluateOptions(split=split)
    manifest = manifest_of(artifact, truth, data, options, Augment(), "", keep=False)
    ids = [sample.id for sample in samples]
    if len(set(ids)) < len(ids):
        raise UsageError("the data have an id twice; counts are kept by id.", field="on")
    kept = StoreOptions(str(store), on=on)
    run = Run(Store.made_for(str(store), manifest, ids), kept, progress)
    config = PipelineConfig(artifact.folder, mode="throughput")
    run.elsewhere(EvaluateJob(config, Data.at(data), options, str(store)), artifact.meaning, ids, origins_of(truth))
    columns, found = CountColumns.of(metric_of(run.store)), dict[str, Any]()
    for batch in run.store.done_batches(["id", *columns.names], repeated=run.scan().summary.is_repeated):
        ids = parts.ids_of(batch.column("id"))
        decoded = columns.decode(ids, {name: batch.column(name) for name in columns.names})
        found.update(zip(ids, decoded, strict=True))
    return [found[sample.id] for sample in samples]
