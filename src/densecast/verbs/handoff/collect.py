"""Outputs that a device wrote + the data set  ->  the score, as if the network had run here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from densecast import plugins
from densecast.errors import BadArtifactError, BadDatasetError, BadInputError
from densecast.imaging.prepare import resize_labels
from densecast.io import config
from densecast.metrics._base import Accumulator
from densecast.spec.augment import View
from densecast.spec.prediction import Prediction
from densecast.spec.sample import Dataset, LabelMap
from densecast.spec.score import Score
from densecast.spec.tensor import Array, TensorSpec
from densecast.verbs.handoff import outputs, package
from densecast.verbs.handoff.outputs import Outputs
from densecast.verbs.handoff.package import Handoff

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Collected:
    """A device's score over the handoff's images, and the speed that its tool told, by file."""

    score: Score
    handoff: Handoff
    outputs: str
    performance: dict[str, dict[str, float]]


def collect(
    folder: Path,
    results: Path,
    *,
    data: Path | None = None,
    tool: str | None = None,
    performance: list[Path] | None = None,
    progress: Progress | None = None,
) -> Collected:
    """Evaluate the outputs in `results` of the handoff in `folder`.

    `data` is the root of the data set that the handoff was made of, or as the configuration names it. `performance` are
    files in which the tool told its speed, beside those it leaves there itself. Outputs and images belong together by
    their ids.

    Raises:
        BadArtifactError: no handoff.
        BadDatasetError: not the same images.
        BadInputError: an output is missing, of another length, or holds numbers that are no class.
    """
    handoff = package.open_handoff(folder)
    found = outputs.find(results, tool)
    spec = handoff.spec
    assert spec.evaluation is not None, "prepare checks it"
    plugin = plugins.load("datasets", spec.evaluation.dataset)
    root = data or config.data_root(spec.evaluation.dataset, plugin.ROOT_VARIABLES)
    dataset: Dataset = plugin.open(root, handoff.split, handoff.seed)
    record = dataset.record(handoff.limit)
    if record != handoff.data:
        raise BadDatasetError(f"{root} has other images than the handoff was made of: {record}, not {handoff.data}.")
    counter: Accumulator = plugins.load("metrics", spec.evaluation.metric).accumulator(spec)
    chosen = dataset.samples[: handoff.limit]
    listed = list(package.items(folder))
    if [item.id for item in listed] != [sample.id for sample in chosen]:
        raise BadArtifactError(f"damaged handoff: {folder / package.ITEMS} does not list its images.")
    _check_complete(handoff, listed, found)
    for done, (sample, item) in enumerate(zip(chosen, listed, strict=True), start=1):
        views = package.views(spec, item)
        arrays = [_read(found.path(stem), handoff.output, view, handoff) for stem, view in views]
        target = dataset.read_target(sample)
        placement = views[0][1].placement
        if spec.evaluation.frame == "network" and isinstance(target, np.ndarray):
            target = resize_labels(target, placement.content_hw)
        counter.add(sample.id, _decode(arrays, [view for _, view in views], handoff), target)
        if progress:
            progress(done, len(chosen))
    told = outputs.performance([*outputs.performance_files(found), *(performance or [])])
    return Collected(replace(counter.score(), data=record), handoff, str(found.folder), told)


def _check_complete(handoff: Handoff, listed: list[package.Item], found: Outputs) -> None:
    """All outputs are there, before any is read."""
    missing = [
        path
        for item in listed
        for stem, _ in package.views(handoff.spec, item)
        if not (path := found.path(stem)).is_file()
    ]
    if missing:
        raise BadInputError(f"{len(missing)} outputs are missing in {found.folder}, the first is {missing[0].name}.")


def _read(path: Path, spec: TensorSpec, view: View, handoff: Handoff) -> Array:
    """(C, h, w) of one input, whose shape the manifest knows.

    Raises:
        BadArtifactError: the input's size is none of the handoff's.
    """
    key = package.size_key(view.placement.model_hw)
    if key not in handoff.output_shapes:
        raise BadArtifactError(f"damaged handoff: {package.MANIFEST} has no output for an input of {key} pixels.")
    return outputs.read(path, spec, handoff.output_shapes[key])


def _decode(arrays: list[Array], views: list[View], handoff: Handoff) -> Prediction:
    spec = handoff.spec
    assert spec.evaluation is not None
    task = plugins.load("tasks", spec.task)
    if handoff.ending == "logits":
        decoded: Prediction = task.decode_views(arrays, views, spec, spec.evaluation.frame)
        return decoded
    placed: Prediction = task.place_labels(
        _labels(arrays[0], len(spec.labels)), views[0].placement, spec, spec.evaluation.frame
    )
    return placed


def _labels(array: Array, classes: int) -> LabelMap:
    """(1, H, W) whole numbers -> (H, W) classes.

    Raises:
        BadInputError: a number that is no class, as where int32 is read as int64.
    """
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= classes:
        raise BadInputError(f"the outputs hold {low if low < 0 else high}, and the classes are 0 to {classes - 1}.")
    labels: LabelMap = array[0].astype(np.uint8)
    return labels
