"""Scores the outputs that a device wrote, as if the network had run here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from densecast.errors import BadArtifactError, BadDatasetError, BadInputError
from densecast.measure.ground_truth import GroundTruth
from densecast.measure.loop import Progress
from densecast.measure.other_reading import OtherReading
from densecast.results.json_result import PrecisionReport
from densecast.results.predictions import CollectResult
from densecast.spec.augment import View
from densecast.spec.data_options import Data
from densecast.spec.precision import PrecisionRan
from densecast.spec.sample import LabelMap, label_dtype
from densecast.spec.tensor import Array
from densecast.verbs.handoff import package, tool_outputs
from densecast.verbs.handoff.package import Handoff, Item
from densecast.verbs.handoff.tool_outputs import ToolOutputs

_NOT_READ = PrecisionRan("unknown", {}, "not read from the device")


def collect(
    folder: Path,
    results: Path,
    *,
    data: Path | Data | None = None,
    tool: str | None = None,
    performance: list[Path] | None = None,
    progress: Progress | None = None,
) -> CollectResult:
    """Score the outputs in `results` for the handoff in `folder`.

    `data` is the root of the data set that the handoff was made of, or as the configuration names it. `performance` are
    files in which the tool reported its speed, beside those it leaves there itself. Outputs and images belong together
    by their ids.

    Raises:
        BadArtifactError: no handoff.
        BadDatasetError: not the same images.
        BadInputError: an output is missing, of another length, or holds numbers that are no class.
    """
    handoff = package.open_handoff(folder)
    outputs = tool_outputs.find(results, tool)
    truth = GroundTruth.open(handoff.spec, data, split=handoff.split, seed=handoff.seed, limit=handoff.limit)
    if truth.record != handoff.data:
        raise BadDatasetError(
            f"the data set has other images than the handoff was made of: {truth.record}, not {handoff.data}."
        )
    items = list(package.items(folder))
    if [item.id for item in items] != [sample.id for sample in truth.samples]:
        raise BadArtifactError(f"damaged handoff: {folder / package.ITEMS} does not list its images.")
    _check_complete(handoff, items, outputs)
    reading = OtherReading(truth.spec)
    counts = list(_counts(truth, handoff, items, outputs, reading, progress))
    score = truth.score(counts, reading.remarks())
    reported = tool_outputs.performance([*tool_outputs.performance_files(outputs), *(performance or [])])
    return CollectResult(
        score=score,
        performance=reported,
        model=handoff.spec.name,
        backend=handoff.target,
        precision=PrecisionReport(handoff.precision, _NOT_READ),
        batch=handoff.batch,
        handoff=folder,
        outputs=outputs.folder,
        hardware=outputs.hardware,
        is_simulated=outputs.is_simulated,
    )


def _check_complete(handoff: Handoff, items: list[Item], outputs: ToolOutputs) -> None:
    """Check that all outputs exist, before any is read."""
    missing = [
        path
        for item in items
        for stem, _ in package.views(handoff.spec, item)
        if not (path := outputs.path(stem)).is_file()
    ]
    if missing:
        raise BadInputError(f"{len(missing)} outputs are missing in {outputs.folder}, the first is {missing[0].name}.")


def _counts(
    truth: GroundTruth,
    handoff: Handoff,
    items: list[Item],
    outputs: ToolOutputs,
    reading: OtherReading,
    progress: Progress | None,
) -> Iterator[Any]:
    """Yield the metric's count of every image, in order."""
    for done, (sample, item) in enumerate(zip(truth.samples, items, strict=True), start=1):
        named_views = package.views(handoff.spec, item)
        views = [view for _, view in named_views]
        arrays = [_read(outputs.path(stem), view, handoff) for stem, view in named_views]
        prediction = _prediction(arrays, views, handoff, truth)
        yield truth.count(sample, prediction, views[0].placement, observe=reading)
        if progress:
            progress(done, len(items))


def _read(path: Path, view: View, handoff: Handoff) -> Array:
    """Read the output (C, h, w) for one input; its shape is in the manifest.

    Raises:
        BadArtifactError: the input's size is none of the handoff's.
        BadInputError: the file is missing, or of another length.
    """
    key = package.size_key(view.placement.model_hw)
    if key not in handoff.output_shapes:
        raise BadArtifactError(f"damaged handoff: {package.MANIFEST} has no output for an input of {key} pixels.")
    return tool_outputs.read(path, handoff.output, handoff.output_shapes[key])


def _prediction(arrays: list[Array], views: list[View], handoff: Handoff, truth: GroundTruth) -> Any:
    """The prediction from logits, or from the device's labels in the metric's frame."""
    spec = handoff.spec
    if handoff.output_form == "logits":
        return truth.task.postprocess([{spec.output.name: array} for array in arrays], views, spec, truth.frame)
    from densecast.tasks.segmentation.postprocess import place_labels

    return place_labels(_labels(arrays[0], len(spec.labels)), views[0].placement, spec, truth.frame)


def _labels(array: Array, classes: int) -> LabelMap:
    """(1, H, W) whole numbers -> (H, W) classes.

    Raises:
        BadInputError: a number that is no class, as where int32 is read as int64.
    """
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= classes:
        raise BadInputError(f"the outputs hold {low if low < 0 else high}, and the classes are 0 to {classes - 1}.")
    labels: LabelMap = array[0].astype(label_dtype(classes))
    return labels
