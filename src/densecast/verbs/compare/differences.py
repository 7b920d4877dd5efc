"""Compares candidates with the reference, image by image: outputs, predictions and, with ground truth, the metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from densecast.errors import BadShapeError, UsageError
from densecast.measure.change import paired_drop
from densecast.measure.ground_truth import GroundTruth
from densecast.pipeline import Pipeline
from densecast.results.compare import Comparison, Findings, MetricChange
from densecast.spec.model import ModelSpec
from densecast.verbs.compare.forward import ForwardResult, forward, postprocessed
from densecast.verbs.compare.image_names import names_of
from densecast.verbs.compare.stage import ChainStage
from densecast.verbs.compare.tally import Tally

Progress = Callable[[int, int], None]


class _Accuracy:
    """Metric counts of each pipeline, the reference first; does nothing without ground truth."""

    def __init__(self, pipelines: Sequence[Pipeline], truth: GroundTruth | None) -> None:
        self._truth = truth
        self._counts: list[list[Any]] = [[] for _ in pipelines]

    def add(self, place: int, pipeline: Pipeline, result: ForwardResult, index: int) -> None:
        """Count the prediction of image `index` by the pipeline at `place`."""
        if self._truth is not None:
            prediction = postprocessed(pipeline, result, self._truth.frame)
            count = self._truth.count(self._truth.samples[index], prediction, result.inputs.placement)
            self._counts[place].append(count)

    def change(self, place: int) -> MetricChange | None:
        """The candidate at `place` against the reference."""
        if self._truth is None:
            return None
        reference, candidate = self._counts[0], self._counts[place]
        left, right = self._truth.score(reference), self._truth.score(candidate)
        drop = paired_drop(self._truth.metric, self._truth.spec, reference, candidate)
        return MetricChange(left.name, left.value, right.value, drop)


def compare_all(
    reference: ChainStage | Pipeline,
    candidates: Sequence[ChainStage | Pipeline],
    images: Sequence[Path],
    *,
    truth: GroundTruth | None = None,
    progress: Progress | None = None,
    findings: Sequence[Findings | None] = (),
) -> list[Comparison]:
    """Run every model once on every image, and compare each candidate with the reference.

    With `truth`, `images` are those of its samples, in order. Of `findings`, one for each candidate, an error about
    shapes quotes the one that explains it.

    Raises:
        UsageError: no images, or models of several tasks.
        BadShapeError: two of them do not give outputs of one shape.
    """
    if not images:
        raise UsageError("compare needs at least one image.", field="images")
    left, *others = (_pipeline(each) for each in (reference, *candidates))
    refuse_other_tasks(left.spec, [other.spec for other in others])
    accuracy = _Accuracy([left, *others], truth)
    tallies = [Tally(left.task, left.spec) for _ in others]
    known = list(findings) or [None] * len(others)
    names = names_of(images)
    for index, path in enumerate(images):
        expected = forward(left, path)
        prediction = postprocessed(left, expected, "network")
        accuracy.add(0, left, expected, index)
        for place, (pipeline, tally) in enumerate(zip(others, tallies, strict=True), start=1):
            actual = forward(pipeline, path)
            renamed = actual.under_names_of(pipeline.spec, left.spec)
            for output in output_pairs(left.spec, expected, renamed, names[path], known[place - 1]):
                tally.add_output(*output)
            candidate = postprocessed(pipeline, actual, "network")
            tally.add_predictions(names[path], prediction, candidate, expected)
            accuracy.add(place, pipeline, actual, index)
        if progress:
            progress(index + 1, len(images))
    return [
        tally.comparison(origin(reference), origin(each), pipeline.precision, len(images), accuracy.change(place))
        for place, (each, pipeline, tally) in enumerate(zip(candidates, others, tallies, strict=True), start=1)
    ]


def refuse_other_tasks(reference: ModelSpec, candidates: Sequence[ModelSpec]) -> None:
    """Check that all models are of one task.

    Raises:
        UsageError: they are not.
    """
    for other in candidates:
        if other.task != reference.task:
            raise UsageError(
                f"{other.name} is of task {other.task!r}, the reference of {reference.task!r}: their predictions "
                "cannot be compared."
            )


def output_pairs(
    spec: ModelSpec, expected: ForwardResult, actual: ForwardResult, image: str, findings: Findings | None = None
) -> Iterator[tuple[str, npt.NDArray[Any], npt.NDArray[Any]]]:
    """Every output of every view with its name: the reference's and the candidate's, which uses the same names.

    Raises:
        BadShapeError: a view or an output is missing, or of another shape.
    """
    if len(expected.outputs) != len(actual.outputs):
        raise BadShapeError(f"{image}: the reference sees {len(expected.outputs)} views, not {len(actual.outputs)}.")
    for left, right in zip(expected.outputs, actual.outputs, strict=True):
        for tensor in spec.outputs:
            shapes = [view[tensor.name].shape if tensor.name in view else "nothing" for view in (left, right)]
            if shapes[0] != shapes[1]:
                cause = f" They part at {findings.location}." if findings and findings.location else ""
                raise BadShapeError(
                    f"{image}: the reference gives {shapes[0]} as {tensor.name}, the candidate {shapes[1]}.{cause}"
                )
            yield tensor.name, left[tensor.name], right[tensor.name]


def _pipeline(each: ChainStage | Pipeline) -> Pipeline:
    return each.pipeline if isinstance(each, ChainStage) else each


def origin(each: ChainStage | Pipeline) -> str:
    """Where a model comes from: its file or folder."""
    if isinstance(each, Pipeline):
        return str(each.artifact.folder) if each.artifact else each.spec.name
    # The graph between a float artifact and an engine has no file of its own.
    return each.title if each.kind == "optimised graph" else str(each.path)
