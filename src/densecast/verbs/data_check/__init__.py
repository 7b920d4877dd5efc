"""Checks a data set before anything is trained, calibrated or measured with it: everything that is wrong, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from densecast.artifact import Artifact
from densecast.datasets import _layouts
from densecast.datasets._base import DatasetFormat, ReadsForModel
from densecast.datasets._survey import Survey, survey
from densecast.errors import BadDatasetError, UsageError
from densecast.io import files
from densecast.measure import data_source
from densecast.measure.loop import Progress
from densecast.results.data_check import ClassCount, DataCheckResult
from densecast.runtime.machine import usable_cpus
from densecast.runtime.ordered_map import ordered_parallel_map
from densecast.runtime.process_settings import opencv_threads
from densecast.spec.choices import checked
from densecast.spec.data_options import Data, DataCheckOptions, Reading
from densecast.spec.model import ModelSpec, Rgb
from densecast.spec.sample import Sample
from densecast.tasks.multilabel import MultilabelTarget
from densecast.tasks.segmentation.palettes import voc
from densecast.verbs.data_check import contact, findings
from densecast.verbs.data_check.layouts import without_model
from densecast.verbs.data_check.look import Looked, look


@checked
def check_data(
    data: Path | str | Data,
    model: Artifact | ModelSpec | Path | str | None = None,
    options: DataCheckOptions = DataCheckOptions(),
    *,
    html: Path | str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> DataCheckResult:
    """Read every picture and its ground truth, and list everything that is wrong: partners, sizes, values, duplicates.

    `data` is a folder or a data file, or such with options. With a `model` masks are held against its classes; without
    one the data against themselves. `html` is a file to write with small pictures of the data, those with problems
    first.

    Raises:
        MissingFileError: no such folder.
        BadDatasetError: nothing in it can be read.
        UsageError: a data file or options that are wrong.
        MissingExtraError: `html` needs a library that is not installed.
    """
    given = data_source.here(data)
    spec = None if model is None else model if isinstance(model, ModelSpec) else _artifact(model).spec
    if html is not None:
        contact.require(files.given(html))
    name, layout, root = _layout(given, spec)
    found = _for_model(survey(layout, root), spec)
    samples = _chosen(found, options)
    if not samples and not found.without_target and not found.problems:
        raise BadDatasetError(f"{root}: there is nothing to check in the split {options.split!r}.", field="split")
    looks = list(_looks(samples, found, spec, threads, progress))
    if looks and all(each.image_error for each in looks):
        raise BadDatasetError(f"none of {len(looks)} pictures can be read; the first: {looks[0].image_error}")
    is_whole = len(samples) == len(found.samples)
    classes = _classes(found, looks, spec)
    result = _result(given, name, found, looks, classes, is_whole, options)
    result = replace(result, root=root, model=None if spec is None else spec.name)
    if html is None:
        return result
    contact.write(files.given(html), result, found, looks, spec)
    return replace(result, sheet=files.given(html))


def _artifact(model: Artifact | Path | str) -> Artifact:
    return model if isinstance(model, Artifact) else Artifact.open(model)


def _layout(given: Data, spec: ModelSpec | None) -> tuple[str, DatasetFormat, Path]:
    """The data set's name, its layout, reading as the model needs it, and the root."""
    if spec is not None:
        source = data_source.find(spec, given)
        source.check_truth()
        return source.evaluation.dataset, source.layout, source.root
    if given.path is None:
        raise UsageError("name the folder or data file to check.", field="data")
    name = without_model(given.path, given.options)
    layout = _layouts.layout(name)
    if isinstance(layout, ReadsForModel):
        return name, layout.for_model(Reading(options=replace(given.options, dataset=name))), given.path
    if given.options.named:
        first = min(given.options.named)
        raise UsageError(f"the option {first!r} has no effect on data of the layout {name!r}.", field=first)
    return name, layout, given.path


def _for_model(found: Survey, spec: ModelSpec | None) -> Survey:
    """The same survey, whose several classes a pixel are those of the model, in its order."""
    if spec is None or spec.task != "multilabel":
        return found
    labels, read = spec.labels, found.read

    def fitted(sample: Sample) -> MultilabelTarget:
        target: MultilabelTarget = read(sample)
        return MultilabelTarget(target.planes_of(labels, sample.id), labels)

    return replace(found, read=fitted)


def _chosen(found: Survey, options: DataCheckOptions) -> tuple[Sample, ...]:
    samples = found.samples
    if options.split != "all":
        if options.split not in found.splits:
            there = ", ".join(found.splits) or "none"
            raise BadDatasetError(
                f"the data name no split {options.split!r} (there: {there}). Leave --split out to check all.",
                field="split",
            )
        samples = tuple(sample for sample in samples if sample.id in found.splits[options.split])
    return samples[: options.limit]


def _looks(
    samples: tuple[Sample, ...], found: Survey, spec: ModelSpec | None, threads: int | None, progress: Progress | None
) -> Iterator[Looked]:
    def work(worker: int, sample: Sample) -> Looked:
        return look(sample, found, spec)

    with opencv_threads(1):
        looked = ordered_parallel_map(work, samples, threads or usable_cpus())
        for done, each in enumerate(looked, start=1):
            if progress is not None:
                progress(done, len(samples))
            yield each


def _classes(found: Survey, looks: list[Looked], spec: ModelSpec | None) -> tuple[ClassCount, ...]:
    """Every class with a name and, of values without names, those that occur."""
    pixels, images, _ = findings.of_values(looks)
    labels = spec.labels if spec is not None and spec.task != "pose" else found.labels
    indices = sorted({*range(len(labels)), *pixels}) if pixels or found.values is not None else []
    palette: tuple[Rgb, ...] = spec.palette if spec is not None else voc(256)
    return tuple(
        ClassCount(
            index,
            labels[index] if index < len(labels) else str(index),
            pixels.get(index, 0),
            images.get(index, 0),
            palette[index] if index < len(palette) else voc(256)[index % 256],
        )
        for index in indices
    )


def _result(
    given: Data,
    name: str,
    found: Survey,
    looks: list[Looked],
    classes: tuple[ClassCount, ...],
    is_whole: bool,
    options: DataCheckOptions,
) -> DataCheckResult:
    counts = Counter(
        {
            "images": len(found.samples) + len(found.without_target),
            "targets": len(found.samples) + len(found.without_image),
            "pairs": len(found.samples),
            "read": len(looks),
        }
    )
    for each in looks:
        counts.update(each.counts)
    frames = Counter(each.frame for each in looks if each.frame is not None)
    return DataCheckResult(
        root=Path(),
        dataset=name,
        layout=found.words,
        counts=dict(counts),
        splits={split: len(ids) for split, ids in found.splits.items()},
        classes=classes,
        pixels=sum(each.pixels for each in looks),
        ignored=sum(each.ignored for each in looks),
        foreign=findings.of_values(looks)[2],
        frames={str(frame): count for frame, count in sorted(frames.items())},
        problems=tuple(
            findings.problems(found, looks, classes, is_whole=is_whole, allow_ignored=given.options.allow_ignored)
        ),
        remarks=findings.remarks(found, looks, classes, is_whole=is_whole),
    )
