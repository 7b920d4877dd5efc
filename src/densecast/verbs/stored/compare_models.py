"""Compares models with a store: images that are recorded are not compared again, and the result comes from there."""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from densecast.artifact import MANIFEST, Artifact
from densecast.errors import BackendMissingError, BadInputError, MissingFileError, UsageError
from densecast.io import codec, files
from densecast.measure.distribute.local import Progress
from densecast.measure.ground_truth import GroundTruth
from densecast.measure.store.manifest import Manifest, RunKey
from densecast.measure.store.record import Failure, FileFacts, Maker, Record
from densecast.measure.store.recording import facts_of, own_version
from densecast.measure.store.store import Store
from densecast.measure.store.unchanged import LocalFile
from densecast.results.compare import CompareResult
from densecast.results.stored import ShardResult
from densecast.runtime import machine
from densecast.spec.data_options import Data
from densecast.spec.sample import Sample, Split
from densecast.spec.store_options import StoreOptions
from densecast.verbs.compare import image_names
from densecast.verbs.compare.chain import images_and_truth, open_chain
from densecast.verbs.compare.differences import origin, output_pairs, refuse_other_tasks
from densecast.verbs.compare.forward import forward, postprocessed
from densecast.verbs.compare.stage import ChainStage
from densecast.verbs.compare.tally import margins_of, sums_of
from densecast.verbs.stored.compare_records import ComparedColumns, ComparedImage, StageRow
from densecast.verbs.stored.compare_score import result_of_comparison
from densecast.verbs.stored.data import data_key, origins_of, refuse_repeated
from densecast.verbs.stored.run import Run


@dataclass(frozen=True)
class Models:
    """What is compared on what: a reference with its candidates, and images, or data with ground truth."""

    reference: Path
    candidates: tuple[Path, ...]
    images: Path | None = None
    data: Path | Data | None = None
    split: Split = "val"
    limit: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class CompareJob:
    """A comparison as a value; `titles` are the stages that every machine has to find."""

    models: Models
    titles: tuple[str, ...]
    key: str
    store: str

    @contextlib.contextmanager
    def open(self, threads: int | None) -> Iterator[CompareBench]:
        """Open all stages and the data.

        Raises:
            BackendMissingError: this machine finds other stages, as one without PyTorch does.
        """
        models = self.models
        with open_chain(models.reference, models.candidates, threads or models.threads) as (first, others):
            titles = tuple(stage.title for stage in (first, *others))
            if titles != self.titles:
                raise BackendMissingError(
                    f"{platform.node()} opens the stages {', '.join(titles)}; the run has {', '.join(self.titles)}. "
                    "Install there what is installed where the run began."
                )
            paths, truth = _images(first, models)
            yield CompareBench(first, others, truth, self.key, image_names.names_of(paths))


@dataclass(frozen=True)
class CompareBench:
    """All stages, open, with the ground truth if there is any."""

    reference: ChainStage
    others: list[ChainStage]
    truth: GroundTruth | None
    key: str
    names: Mapping[Path, str]
    by_id: dict[str, Sample] = field(default_factory=dict)

    @property
    def maker(self) -> Maker:
        """Who makes the records; of the precisions, that of every stage is told."""
        ran = [stage.pipeline.precision for stage in (self.reference, *self.others)]
        told = {"compute": ", ".join(each.compute for each in ran), "stages": [codec.to_plain(each) for each in ran]}
        cpu = machine.describe().cpu
        return Maker(self.key, json.dumps(told, sort_keys=True), own_version(), platform.node(), cpu)

    @property
    def columns(self) -> ComparedColumns:
        """The columns of what is compared."""
        return ComparedColumns(len(self.others), self.truth.metric if self.truth else None)

    def records(self, ids: Sequence[str]) -> Generator[Record, None, None]:
        """The records of these images; one that cannot be used has its failure."""
        if self.truth is not None and not self.by_id:
            self.by_id.update((sample.id, sample) for sample in self.truth.samples)
        for each in ids:
            began = time.perf_counter_ns()
            sample = self.by_id.get(each)
            path = sample.image if sample else Path(each)
            target = facts_of(sample.target) if sample and sample.target != sample.image else None
            record = Record(each, image=facts_of(path) or FileFacts(), target=target or FileFacts())
            try:
                compared, size_hw = self._compared(each, path, sample)
            except (BadInputError, MissingFileError) as error:
                yield replace(record, failure=Failure.of(error.__cause__ or error), finished=datetime.now(UTC))
                continue
            took = {"total": (time.perf_counter_ns() - began) / 1e6}
            now = datetime.now(UTC)
            yield replace(record, size_hw=size_hw, count=compared, stages_ms=took, finished=now)

    def _compared(self, image: str, path: Path, sample: Sample | None) -> tuple[ComparedImage, tuple[int, int]]:
        """What is kept of one image, and its size."""
        left, truth = self.reference.pipeline, self.truth
        expected = forward(left, path)
        prediction = postprocessed(left, expected, "network")
        counts: list[Any] = []
        rows: list[StageRow] = []
        for stage in (self.reference, *self.others):
            pipeline = stage.pipeline
            actual = expected if stage is self.reference else forward(pipeline, path)
            if stage is not self.reference:
                renamed = actual.under_names_of(pipeline.spec, left.spec)
                sums = [sums_of(*pair[1:]) for pair in output_pairs(left.spec, expected, renamed, self.names[path])]
                table = np.stack(sums).reshape(-1, len(left.spec.outputs), 8)
                candidate = postprocessed(pipeline, actual, "network")
                margins = margins_of(left.task, left.spec, prediction, candidate, expected)
                rows.append(StageRow.of(image, left.task.difference(prediction, candidate), table, margins))
            if truth is not None and sample is not None:
                measured = postprocessed(pipeline, actual, truth.frame)
                counts.append(truth.count(sample, measured, actual.inputs.placement))
        height, width = expected.inputs.placement.image_hw
        return ComparedImage(self.names[path], tuple(rows), tuple(counts)), (height, width)


def compare_stored(
    models: Models, stored: StoreOptions, *, apart: bool = False, progress: Progress | None = None
) -> tuple[CompareResult, dict[str, Path]]:
    """Compare the images that have no record yet; gives the result of all and the files that it is of, by their names.

    With `apart` they are computed in a process of their own, so that an image that crashes it costs itself alone; on a
    cluster always.

    Raises:
        UsageError: the store is another run's, or an option has no effect.
        BadInputError: more images failed than may; says which.
    """
    if stored.shard is not None:
        raise UsageError("a shard has no result; see densecast.compare_shard.", field="shard")
    run, found = _computed(models, stored, progress, apart=apart)
    scan = run.scan()
    done = {path for each, path in found.items() if each in scan.done}
    named = image_names.by_name(found.values())
    return result_of_comparison(run.store, scan), {name: path for name, path in named.items() if path in done}


def compare_shard(
    models: Models, *, stored: StoreOptions, apart: bool = False, progress: Progress | None = None
) -> ShardResult:
    """Compare one shard of the images, `stored.shard`; `densecast.merge` has the result when all are there.

    Raises:
        UsageError: no shard is named, or the store is another run's.
        BadInputError: more images failed than may; says which.
    """
    if stored.shard is None:
        raise UsageError("name the shard, such as 3/16.", field="shard")
    return _computed(models, stored, progress, apart=apart)[0].shard_result()


def _computed(
    models: Models, stored: StoreOptions, progress: Progress | None, *, apart: bool
) -> tuple[Run, dict[str, Path]]:
    """The run, at its end, and the files of its images by id."""
    if stored.store is None:
        raise UsageError("name the store.", field="store")
    if stored.keep_predictions:
        raise UsageError("a comparison keeps no predictions.", field="keep_predictions")
    with open_chain(models.reference, models.candidates, models.threads) as (first, others):
        stages = (first, *others)
        refuse_other_tasks(first.pipeline.spec, [stage.pipeline.spec for stage in others])
        paths, truth = _images(first, models)
        if truth is not None:
            refuse_repeated(truth)
        manifest = _manifest(stages, paths, truth, models.data)
        titles = tuple(stage.title for stage in stages)
        found = {sample.id: sample.image for sample in truth.samples} if truth else {str(each): each for each in paths}
        run = Run(Store.made_for(stored.store, manifest, list(found)), stored, progress)
        key = files.sha256_text(repr(sorted(manifest.key.artifact.items())))
        origins = origins_of(truth) if truth else lambda each: (LocalFile(found[each]),)
        if not apart and stored.ray_address is None:
            run.inline(CompareBench(first, others, truth, key, image_names.names_of(paths)), list(found), origins)
            return run, found
    run.elsewhere(CompareJob(models, titles, key, stored.store), key, list(found), origins)
    return run, found


def _images(first: ChainStage, models: Models) -> tuple[list[Path], GroundTruth | None]:
    return images_and_truth(first.pipeline.spec, models.images, models.data, models.split, models.limit)


def _manifest(
    stages: Sequence[ChainStage], paths: Sequence[Path], truth: GroundTruth | None, data: Path | Data | None
) -> Manifest:
    """What a store of this comparison says of itself."""
    spec = truth.spec if truth else stages[0].pipeline.spec
    artifacts = {
        "reference" if not place else f"stage {place}": f"{stage.title} {_hash_of(stage.path)}"
        for place, stage in enumerate(stages)
    }
    ids = {"images": str(len(paths)), "ids": files.sha256_text("\n".join(map(str, paths)))}
    options = {"verb": "compare"}
    if truth is not None and spec.evaluation is not None:
        options |= {"metric": spec.evaluation.metric, "frame": spec.evaluation.frame}
    model: Mapping[str, Any] = {
        "reference": stages[0].title,
        "titles": [stage.title for stage in stages],
        "origins": [origin(stage) for stage in stages],
        "outputs": [tensor.name for tensor in stages[0].pipeline.spec.outputs],
    }
    dataset: object = truth.dataset if truth else None
    return Manifest(
        RunKey(artifacts, data_key(truth, data) if truth else ids, options),
        "compare",
        len(paths),
        spec,
        dict(model),
        frame=truth.frame if truth else "network",
        record=truth.record if truth else None,
        remarks=tuple(getattr(dataset, "remarks", ())),
        allow_ignored=truth.allow_ignored if truth else False,
        version=own_version(),
    )


def _hash_of(path: Path) -> str:
    return Artifact.open(path).meaning if (path / MANIFEST).is_file() else files.sha256(path)
