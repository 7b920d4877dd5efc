"""Predicts images with a store: predictions are kept in the records, and written to files from there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from densecast.artifact import CompiledArtifact
from densecast.errors import BadImageError, BadInputError, DensecastError, UsageError
from densecast.io import codec, files, remote
from densecast.measure.distribute.local import Progress
from densecast.measure.store import parts
from densecast.measure.store.manifest import Manifest, RunKey
from densecast.measure.store.record import Failure, FileFacts, Maker, Record
from densecast.measure.store.recording import Stages, maker_of, own_version, saved
from densecast.measure.store.store import Store
from densecast.pipeline import Pipeline, PipelineConfig, Predicted
from densecast.results.stored import ShardResult
from densecast.spec.augment import Augment
from densecast.spec.store_options import StoreOptions
from densecast.spec.verb_options import InferOptions
from densecast.tasks._base import TASKS
from densecast.verbs._model import Model
from densecast.verbs.infer.endings import endings_of
from densecast.verbs.infer.results import Results
from densecast.verbs.infer.sources import Source
from densecast.verbs.stored import images as found_images
from densecast.verbs.stored.evaluate import config_of, identity
from densecast.verbs.stored.run import Run

_USUAL = InferOptions()
_IDLE = ("formats", "allow_url", "every", "seconds", "overlay_video")


@dataclass(frozen=True)
class InferJob:
    """A run of predictions as a value; ids are paths or URLs."""

    config: PipelineConfig
    store: str
    batch: int | None = None

    @contextlib.contextmanager
    def open(self, threads: int | None) -> Iterator[InferBench]:
        """Open the model."""
        with Pipeline.open(replace(self.config, threads=threads or self.config.threads)) as pipeline:
            yield InferBench(pipeline, self.batch)


@dataclass(frozen=True)
class InferBench:
    """An open model."""

    pipeline: Pipeline
    batch: int | None
    columns: None = None

    @property
    def maker(self) -> Maker:
        """Who makes the records."""
        return maker_of(self.pipeline)

    def records(self, ids: Sequence[str]) -> Generator[Record, None, None]:
        """The record of each image, with its prediction."""
        facts: dict[str, FileFacts] = {}
        stages, task, spec = Stages(), self.pipeline.task, self.pipeline.spec

        def read(name: str) -> bytes:
            with stages.of_image("decode"):
                # Before the bytes: of an image that is replaced meanwhile, the contents are compared later.
                stamp = _stamp_of(name)
                data = _bytes_of(name)
            facts[name] = FileFacts(files.sha256_bytes(data), len(data), stamp)
            return data

        def finish(predicted: Predicted[str]) -> Record:
            prediction, suffix = saved(task, predicted.prediction, spec)
            height, width = predicted.image.shape[:2]
            return Record(
                predicted.source,
                image=facts.pop(predicted.source),
                size_hw=(height, width),
                prediction=prediction,
                prediction_suffix=suffix,
                stages_ms=stages.shares(0.0),
                finished=datetime.now(UTC),
            )

        def failed(name: str, error: BadInputError) -> Record:
            text = str(error).replace("the image's bytes", name)
            failure = Failure(type(error.__cause__ or error).__name__, text)
            return Record(name, failure, image=facts.pop(name, FileFacts()), finished=datetime.now(UTC))

        stream = self.pipeline.stream(ids, read, finish, batch=self.batch, clock=stages, failed=failed)
        with contextlib.closing(stream) as made:
            yield from made


def infer_stored(
    model: Model,
    images: Sequence[Path | str] | Path | str,
    stored: StoreOptions,
    *,
    out: Path | str | None = None,
    options: InferOptions = InferOptions(),
    batch: int | None = None,
    progress: Progress | None = None,
) -> ShardResult:
    """Predict every image that has no record yet, and keep its prediction there: a class map as PNG, people as JSON.

    `images` may be URLs. With `out` the predictions are also written to that folder, from the records, once all images
    are done. A `PipelineConfig` is computed in a process of its own; other models in this one.

    Raises:
        MissingFileError, BadDatasetError: nothing is there.
        UsageError: the store is another run's; or files of the user's would be written over.
        BadInputError: more images failed than may.
    """
    if stored.store is None:
        raise UsageError("name the store.", field="store")
    if out is not None and stored.part is not None:
        raise UsageError("files are of all images: leave it out, and run without a shard at the end.", field="out")
    folder = None if out is None else files.given(out)
    _refuse_idle(options, stored)
    found = found_images.find(images, recursive=options.recursive, out=folder)
    with contextlib.ExitStack() as stack:
        opened: Pipeline | None = None
        if isinstance(model, Pipeline):
            opened = model
        elif not isinstance(model, PipelineConfig) and stored.ray_address is None:
            opened = stack.enter_context(Pipeline.open(model, mode="throughput"))
        artifact, augment, device = identity(opened or model)
        ids = list(found.sources)
        if folder is not None:
            _plan(found.sources, folder, artifact, options)
        store = Store.made_for(stored.store, _manifest(artifact, ids, augment, device), ids)
        run = Run(store, stored, progress)
        if opened is not None and stored.ray_address is None:
            run.inline(InferBench(opened, batch), ids, found.origins)
        else:
            config = config_of(model, artifact, augment, device)
            run.elsewhere(InferJob(config, stored.store, batch), artifact.meaning, ids, found.origins)
    if folder is not None:
        _write_files(store, found.sources, folder, artifact, options)
    return run.shard_result()


def _bytes_of(name: str) -> bytes:
    """An image file's bytes.

    Raises:
        BadImageError: it is not there, or cannot be read.
    """
    try:
        return remote.fetch(name) if remote.is_url(name) else Path(name).read_bytes()
    except (DensecastError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadImageError(reason if name in reason else f"{name} cannot be read ({reason}).") from error


def _stamp_of(name: str) -> str | None:
    """The word of its file system on an image's last change; None where it has none."""
    try:
        if not remote.is_url(name):
            return files.stamp(Path(name).stat())
        known = remote.RemoteFiles.at(name).info(fresh=False)
    except (DensecastError, OSError):  # said where its bytes are read
        return None
    return None if known is None else remote.stamp_of(known)


def _manifest(artifact: CompiledArtifact, ids: Sequence[str], augment: Augment, device: str) -> Manifest:
    build = artifact.manifest.build
    key = RunKey(
        {"name": artifact.spec.name, "key": artifact.meaning},
        {"images": str(len(ids)), "ids": files.sha256_text("\n".join(ids))},
        {"verb": "infer", "views": repr(augment), "device": device or "default"},
    )
    model = {"backend": build.backend, "artifact": str(artifact.folder), "asked": artifact.manifest.precision_asked}
    return Manifest(
        key, "infer", len(ids), artifact.spec, model, augment=codec.to_plain(augment), version=own_version()
    )


def _refuse_idle(options: InferOptions, stored: StoreOptions) -> None:
    """Refuse options of `infer` that are for files of images on this machine, without a store.

    Raises:
        UsageError: names the option, and what does the same.
    """
    if stored.keep_predictions:
        raise UsageError("the records of infer always hold the predictions: leave it out.", field="keep_predictions")
    for name, why in (
        ("keep_going", "with --store, say how many images may fail with --max-errors."),
        ("large", "a store keeps whole predictions, and pictures in tiles have none: leave one of them out."),
        ("skip_existing", "with --store, what is recorded is not computed again: leave it out."),
        *((name, "it has no effect on runs with --store: leave it out.") for name in _IDLE),
    ):
        if getattr(options, name) != getattr(_USUAL, name):
            raise UsageError(why, field=name)


def _plan(found: Mapping[str, Source], out: Path, artifact: CompiledArtifact, options: InferOptions) -> Results:
    """The files that are going to be written, checked to be nobody else's."""
    task, spec = TASKS.load_trusted(artifact.spec.task), artifact.spec
    with tempfile.TemporaryDirectory(prefix="densecast-") as scratch:
        endings = endings_of(task, spec, Path(scratch), flip=spec.needs_mirror)
    model = os.path.realpath(artifact.folder)
    return Results.plan(list(found.values()), out, endings, model=model, options=options)


def _write_files(
    store: Store, found: Mapping[str, Source], out: Path, artifact: CompiledArtifact, options: InferOptions
) -> None:
    """Write the predictions of all images that are done to files."""
    results = _plan(found, out, artifact, options)
    done = store.scan().summary
    with results.scratch() as scratch:
        columns = ["id", "prediction", "prediction_suffix"]
        for batch in store.done_batches(columns, repeated=done.is_repeated):
            for row in batch.to_pylist():
                source = found[parts.plain(row["id"])]
                with tempfile.TemporaryDirectory(dir=scratch) as room:
                    file = Path(room) / (results.stems[source.path].name + row["prediction_suffix"])
                    files.write_bytes(file, row["prediction"])
                    results.publish(source.path, Path(room), file)
