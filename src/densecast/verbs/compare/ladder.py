"""Every rung against the first, image by image: outputs, predictions and, with ground truth, the metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast import plugins
from densecast.errors import BadShapeError, UsageError
from densecast.imaging.prepare import resize_labels
from densecast.imaging.views import ModelInputs
from densecast.measure.bootstrap import paired_drop
from densecast.metrics._base import Accumulator, Resamples
from densecast.pipeline import Pipeline
from densecast.spec.model import Frame, SegmentationDecode
from densecast.spec.prediction import Prediction
from densecast.spec.sample import Dataset, Sample, Target
from densecast.verbs.compare.difference import Comparison, MetricChange, Tally
from densecast.verbs.compare.locate import Findings
from densecast.verbs.compare.rung import Rung

Progress = Callable[[int, int], None]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Truth:
    """Ground truth to measure the metric with; `samples` are the images in order."""

    dataset: Dataset
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """One pipeline's view of one image: the raw outputs (C, h, w) of its views, and the prepared input."""

    prepared: ModelInputs
    outputs: tuple[F64, ...]


class _Judge:
    """The metric of each rung on the images so far; does nothing without ground truth."""

    def __init__(self, pipelines: Sequence[Pipeline], truth: Truth | None) -> None:
        self._truth, self._count = truth, 0
        self._counters: list[Accumulator] = []
        if truth is not None:
            protocol = pipelines[0].spec.evaluation
            if protocol is None:
                raise UsageError(f"{pipelines[0].spec.name} names no data set and metric to measure with.")
            self._frame: Frame = protocol.frame
            plugin = plugins.load("metrics", protocol.metric)
            self._counters = [plugin.accumulator(pipeline.spec) for pipeline in pipelines]

    def target(self, index: int) -> Target | None:
        """The ground truth of image `index`."""
        return None if self._truth is None else self._truth.dataset.read_target(self._truth.samples[index])

    def add(self, place: int, pipeline: Pipeline, seen: Seen, index: int, target: Target | None) -> None:
        """Count one rung's prediction of image `index`."""
        if self._truth is None or target is None:
            return
        sample = self._truth.samples[index]
        if self._frame == "network" and isinstance(target, np.ndarray):
            target = resize_labels(target, seen.prepared.placement.content_hw)
        self._counters[place].add(sample.id, decoded(pipeline, seen, self._frame), target)
        self._count = index + 1

    def change(self, place: int) -> MetricChange | None:
        """The candidate at `place` against the reference, which is the first."""
        if self._truth is None:
            return None
        first, other = self._counters[0], self._counters[place]
        left, right = first.score(), other.score()
        drop = None
        if isinstance(first, Resamples) and isinstance(other, Resamples):
            drop = paired_drop(first, other, self._count)
        return MetricChange(left.name, left.value, right.value, drop)


def climb(
    reference: Rung | Pipeline,
    candidates: Sequence[Rung | Pipeline],
    images: Sequence[Path],
    *,
    truth: Truth | None = None,
    progress: Progress | None = None,
    findings: Sequence[Findings | None] = (),
) -> list[Comparison]:
    """Run each on every image, once, and compare each candidate with the reference.

    Of `findings`, one for each candidate, the error tells the one that explains it.

    Raises:
        UsageError: no images, or ground truth is given for a model without a metric.
        BadShapeError: two of them do not give outputs of one shape.
    """
    if not images:
        raise UsageError("compare needs at least one image.")
    left, *others = (each.pipeline if isinstance(each, Rung) else each for each in (reference, *candidates))
    judge = _Judge([left, *others], truth)
    tallies = [Tally() for _ in others]
    decode = left.spec.decode
    align_corners = isinstance(decode, SegmentationDecode) and decode.align_corners
    for index, path in enumerate(images):
        expected = see(left, path)
        wanted = decoded(left, expected, "network")
        target = judge.target(index)
        judge.add(0, left, expected, index, target)
        for place, (pipeline, tally) in enumerate(zip(others, tallies, strict=True), start=1):
            found = see(pipeline, path)
            for one, other in zip(expected.outputs, found.outputs, strict=True):
                if one.shape != other.shape:
                    known = findings[place - 1] if findings else None
                    why = f" They part at {known.location}." if known and known.location else ""
                    raise BadShapeError(
                        f"{path.name}: the reference gives {one.shape}, the candidate {other.shape}.{why}"
                    )
                tally.add_output(one, other)
            tally.add_predictions(
                path.name,
                wanted,
                decoded(pipeline, found, "network"),
                expected.outputs[0],
                align_corners=align_corners,
            )
            judge.add(place, pipeline, found, index, target)
        if progress:
            progress(index + 1, len(images))
    return [
        tally.comparison(_origin(reference), _origin(each), pipeline.runner.precision, len(images), judge.change(place))
        for place, (each, pipeline, tally) in enumerate(zip(candidates, others, tallies, strict=True), start=1)
    ]


def see(pipeline: Pipeline, path: Path) -> Seen:
    """One image through a network."""
    prepared = pipeline.prepare(pipeline.read(path))
    outputs: dict[int, F64] = {}
    for numbers, batch in pipeline.batches(prepared.arrays):
        result = pipeline.runner.run({pipeline.spec.input.name: batch})[pipeline.spec.output.name]
        for row, number in enumerate(numbers):
            outputs[number] = np.array(result[row], dtype=np.float64)  # the next inference may overwrite it
    return Seen(prepared, tuple(outputs[number] for number in range(len(outputs))))


def decoded(pipeline: Pipeline, seen: Seen, frame: Frame) -> Prediction:
    """What the pipeline's task makes of the outputs."""
    outputs = [output.astype(np.float32) for output in seen.outputs]
    task = plugins.load("tasks", pipeline.spec.task)
    prediction: Prediction = task.decode_views(outputs, seen.prepared.views, pipeline.spec, frame)
    return prediction


def _origin(each: Rung | Pipeline) -> str:
    if isinstance(each, Pipeline):
        return str(each.artifact.folder)
    # The graph between a float artifact and an engine has no file of its own.
    return each.title if each.kind == "optimised graph" else str(each.path)
