"""Evaluates with a store: what is recorded is not computed again, and the score comes from the records."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from densecast.artifact import Artifact, CompiledArtifact
from densecast.errors import UsageError
from densecast.io import codec, files
from densecast.measure.distribute.local import Progress
from densecast.measure.ground_truth import GroundTruth
from densecast.measure.in_memory import InMemory, Triples
from densecast.measure.store import scoring
from densecast.measure.store.count_columns import CountColumns
from densecast.measure.store.manifest import Manifest, RunKey
from densecast.measure.store.record import Maker, Record
from densecast.measure.store.recording import maker_of, own_version, records
from densecast.measure.store.store import Store, Summary
from densecast.metrics._base import HasResults
from densecast.pipeline import Pipeline, PipelineConfig
from densecast.results.json_result import ModelRecord, PrecisionReport
from densecast.results.predictions import EvaluateResult
from densecast.results.stored import ShardResult
from densecast.spec.augment import Augment
from densecast.spec.data_options import Data
from densecast.spec.model import ModelSpec
from densecast.spec.sample import Sample
from densecast.spec.store_options import StoreOptions
from densecast.spec.verb_options import EvaluateOptions
from densecast.verbs._model import Model
from densecast.verbs.stored.data import data_key, origins_of, refuse_repeated
from densecast.verbs.stored.run import Run


@dataclass(frozen=True)
class EvaluateJob:
    """An evaluation as a value: which model, which data, which options."""

    config: PipelineConfig
    data: Data | None
    options: EvaluateOptions
    store: str
    keep_predictions: bool = False

    @contextlib.contextmanager
    def open(self, threads: int | None) -> Iterator[EvaluateBench]:
        """Open the model and the data."""
        config = replace(self.config, threads=threads or self.config.threads)
        with Pipeline.open(config) as pipeline:
            truth = open_truth(pipeline.spec, self.data, self.options)
            yield EvaluateBench(truth, pipeline, self.options.batch, self.keep_predictions)


@dataclass(frozen=True)
class EvaluateBench:
    """An open model with its ground truth."""

    truth: GroundTruth
    pipeline: Pipeline
    batch: int | None
    keep_predictions: bool
    by_id: dict[str, Sample] = field(default_factory=dict)

    @property
    def maker(self) -> Maker:
        """Who makes the records."""
        return maker_of(self.pipeline)

    @property
    def columns(self) -> CountColumns:
        """The columns of the metric's counts."""
        return CountColumns.of(self.truth.metric)

    def records(self, ids: Sequence[str]) -> Generator[Record, None, None]:
        """The records of these images."""
        if not self.by_id:
            self.by_id.update((sample.id, sample) for sample in self.truth.samples)
        samples = [self.by_id[each] for each in ids]
        return records(self.truth, self.pipeline, samples, batch=self.batch, keep_predictions=self.keep_predictions)


def open_truth(spec: ModelSpec, data: Data | Path | Triples | None, options: EvaluateOptions) -> GroundTruth:
    """The ground truth that these options choose."""
    return GroundTruth.open(
        spec, data, split=options.split, seed=options.seed, limit=options.limit, protocol=options.protocol
    )


def evaluate_stored(
    model: Model,
    data: Path | str | Data | Triples | None,
    options: EvaluateOptions,
    stored: StoreOptions,
    *,
    progress: Progress | None = None,
    results: Path | str | None = None,
) -> EvaluateResult:
    """Compute the images that have no record yet, and the score of all; see `densecast.evaluate`.

    A `PipelineConfig` is computed in a process of its own, so that an image that crashes the engine costs itself alone;
    other models in this one.

    Raises:
        UsageError: the store is another run's, or the model is in no artifact.
        BadInputError: more images failed than may; says which.
    """
    run = _computed(model, data, options, stored, progress, with_results=results is not None)
    scan = run.store.scan()
    scoring.require_complete(run.store, scan)
    if results is not None:
        write_results(run.store, scan.summary, results)
    return result_of(run.store, scan.summary)


def evaluate_shard(
    model: Model,
    data: Path | str | Data | None = None,
    options: EvaluateOptions = EvaluateOptions(),
    *,
    stored: StoreOptions,
    progress: Progress | None = None,
) -> ShardResult:
    """Compute one shard of an evaluation, `stored.shard`; `densecast.merge` has the score when all are there.

    Raises:
        UsageError: no shard is named, or the store is another run's.
        BadInputError: more images failed than may; says which.
    """
    if stored.shard is None:
        raise UsageError("name the shard, such as 3/16.", field="shard")
    return _computed(model, data, options, stored, progress).shard_result()


def _computed(
    model: Model,
    data: Path | str | Data | Triples | None,
    options: EvaluateOptions,
    stored: StoreOptions,
    progress: Progress | None,
    *,
    with_results: bool = False,
) -> Run:
    data = Path(data) if isinstance(data, str) else data
    assert stored.store is not None
    with contextlib.ExitStack() as stack:
        opened: Pipeline | None = None
        if isinstance(model, Pipeline):
            opened = model
        elif not isinstance(model, PipelineConfig) and stored.ray_address is None:
            opened = stack.enter_context(Pipeline.open(model, mode="throughput"))
        artifact, augment, device = identity(opened or model)
        truth = open_truth(artifact.spec, data, options)
        if with_results and not isinstance(truth.metric, HasResults):
            raise UsageError(f"{truth.metric.name} has no format of results; COCO's key points have.", field="results")
        CountColumns.of(truth.metric)
        refuse_repeated(truth)
        manifest = manifest_of(artifact, truth, data, options, augment, device, keep=stored.keep_predictions)
        ids = [sample.id for sample in truth.samples]
        run = Run(Store.made_for(stored.store, manifest, ids), stored, progress)
        if opened is not None and stored.ray_address is None:
            run.inline(EvaluateBench(truth, opened, options.batch, stored.keep_predictions), ids, origins_of(truth))
            return run
        if isinstance(truth.dataset, InMemory) or not (data is None or isinstance(data, (Path, Data))):
            raise UsageError("data from Python stay in this process: give a folder, or an open pipeline.", field="on")
        config = config_of(model, artifact, augment, device)
        job = EvaluateJob(config, Data.at(data), options, stored.store, stored.keep_predictions)
        run.elsewhere(job, artifact.meaning, ids, origins_of(truth))
        return run


def write_results(store: Store, found: Summary, path: Path | str) -> None:
    """Write all predictions of a store for the data set's evaluation server.

    Raises:
        UsageError: the metric has no such format.
    """
    metric: object = scoring.metric_of(store)
    if not isinstance(metric, HasResults):
        raise UsageError(f"{store.manifest.metric} has no format of results; COCO's key points have.", field="results")
    counts = list(scoring.counts(store, repeated=found.is_repeated))
    files.write_text(Path(path), json.dumps(metric.results(counts)) + "\n")


def result_of(store: Store, found: Summary) -> EvaluateResult:
    """The result of an evaluation from its store, of which nothing is missing.

    Raises:
        BadStoreError: a part is damaged.
    """
    manifest = store.manifest
    scored = scoring.score(store, found)
    model = manifest.model
    precision = PrecisionReport(model.get("asked"), scored.precision)
    record = ModelRecord(manifest.spec.name, model.get("backend"), model.get("artifact"), precision)
    return EvaluateResult(scored.score, record, codec.from_plain(manifest.augment, Augment, store.name))


def identity(model: object) -> tuple[CompiledArtifact, Augment, str]:
    """The artifact of a model, the views that its user chose, and its device.

    Raises:
        UsageError: a pipeline without an artifact, whose records nobody could tell from others.
    """
    if isinstance(model, Pipeline):
        if model.artifact is None:
            raise UsageError("a store is for models of artifacts; this pipeline has none.", field="store")
        flip = model.augment.flip and not model.spec.needs_mirror
        return model.artifact, replace(model.augment, flip=flip), model.config.device
    config = model if isinstance(model, PipelineConfig) else PipelineConfig(_folder(model))
    return CompiledArtifact.open(config.artifact), config.augment, config.device


def config_of(model: Model, artifact: CompiledArtifact, augment: Augment, device: str) -> PipelineConfig:
    """How another process, or another machine, opens the same: with the caller's views, on the caller's device.

    A URL stays one, so that each machine fetches the model into its own cache.
    """
    if isinstance(model, PipelineConfig):
        return model
    folder = artifact.folder if isinstance(model, (Pipeline, Artifact)) else Path(model)
    return PipelineConfig(folder, mode="throughput", augment=augment, device=device)


def _folder(model: object) -> Path:
    return model.folder if isinstance(model, Artifact) else Path(str(model))


def manifest_of(
    artifact: CompiledArtifact,
    truth: GroundTruth,
    data: object,
    options: EvaluateOptions,
    augment: Augment,
    device: str,
    *,
    keep: bool,
) -> Manifest:
    """What a store of this evaluation says of itself."""
    spec, record, build = truth.spec, truth.record, artifact.manifest.build
    assert spec.evaluation is not None
    key = RunKey(
        {"name": spec.name, "key": artifact.meaning},
        data_key(truth, data),
        {
            "verb": "evaluate",
            "metric": spec.evaluation.metric,
            "frame": spec.evaluation.frame,
            "views": repr(augment),
            "device": device or "default",
            "predictions": "kept" if keep else "not kept",
        },
    )
    dataset: object = truth.dataset
    return Manifest(
        key,
        "evaluate",
        len(truth.samples),
        spec,
        {
            "backend": build.backend,
            "artifact": str(artifact.folder),
            "asked": artifact.manifest.precision_asked,
        },
        spec.evaluation.metric,
        spec.evaluation.frame,
        record,
        options.protocol,
        tuple(getattr(dataset, "remarks", ())),
        truth.allow_ignored,
        codec.to_plain(augment),
        version=own_version(),
    )
