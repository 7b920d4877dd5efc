"""Compares candidates with the reference, image by image: outputs, predictions and, with ground truth, the metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError, UsageError
from densecast.imaging.views import ModelInputs
from densecast.measure.change import paired_drop
from densecast.measure.ground_truth import GroundTruth
from densecast.pipeline import Pipeline
from densecast.results.compare import Comparison, Findings, MetricChange, OutputError
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Feeds
from densecast.tasks._base import Difference, HasMargins, HasWindowMargins, Task
from densecast.verbs.compare.stage import ChainStage

Progress = Callable[[int, int], None]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ForwardResult:
    """One pipeline's inputs and outputs for one image: for each TTA view the outputs by name, floats as float32."""

    inputs: ModelInputs
    outputs: tuple[Feeds, ...]

    def under_names_of(self, own: ModelSpec, other: ModelSpec) -> ForwardResult:
        """The outputs renamed to those of `other`, which has the same outputs in the same order as `own`."""
        names = {left.name: right.name for left, right in zip(own.outputs, other.outputs, strict=False)}
        renamed = tuple({names[name]: array for name, array in view.items() if name in names} for view in self.outputs)
        return ForwardResult(self.inputs, renamed)


def forward(pipeline: Pipeline, path: Path) -> ForwardResult:
    """Run one image through a network."""
    inputs = pipeline.preprocess(pipeline.read(path))
    outputs = pipeline.forward(inputs)
    return ForwardResult(inputs, tuple({name: _as_float32(array) for name, array in view.items()} for view in outputs))


def postprocessed(pipeline: Pipeline, result: ForwardResult, frame: Frame) -> Any:
    """The prediction from the outputs."""
    return pipeline.postprocess(result.outputs, result.inputs, frame)


class OutputTally:
    """Accumulates the error of one output over images."""

    def __init__(self) -> None:
        self._largest = self._total = self._squared = self._squared_left = self._squared_right = self._product = 0.0
        self._max, self._values = 0.0, 0

    def add(self, expected: F64, actual: F64) -> None:
        """Add one image's outputs of one shape."""
        apart = actual - expected
        self._max = _larger(self._max, float(np.abs(apart).max(initial=0.0)))
        self._largest = _larger(self._largest, float(np.abs(expected).max(initial=0.0)))
        self._total += float(np.abs(apart).sum())
        self._values += apart.size
        self._squared += float(np.vdot(apart, apart))
        self._squared_left += float(np.vdot(expected, expected))
        self._squared_right += float(np.vdot(actual, actual))
        self._product += float(np.vdot(expected, actual))

    def error(self) -> OutputError:
        """The error over all images added."""
        both = (self._squared_left * self._squared_right) ** 0.5
        return OutputError(
            max_error=self._max,
            mean_error=self._total / self._values if self._values else 0.0,
            relative_error=_share(self._max, self._largest),
            relative_l2=_share(self._squared, self._squared_left) ** 0.5,
            cosine=self._product / both if both else 1.0,
        )


class Tally:
    """Accumulates the differences of one candidate from the reference; `comparison` returns the result."""

    def __init__(self, task: Task[Any, Any], spec: ModelSpec) -> None:
        """Prepare to compare with a reference of that task and spec."""
        self._task, self._spec = task, spec
        self._outputs = {tensor.name: OutputTally() for tensor in spec.outputs}
        self._difference: Difference | None = None
        self._changed_margins: list[F64] = []
        self._margins: list[F64] = []
        self._by_image: dict[str, float] = {}

    def add_output(self, name: str, expected: npt.NDArray[Any], actual: npt.NDArray[Any]) -> None:
        """Add one image's raw output of that name, both of one shape."""
        self._outputs[name].add(np.asarray(expected, np.float64), np.asarray(actual, np.float64))

    def add_predictions(self, image: str, left: Any, right: Any, reference: ForwardResult) -> None:
        """Add both predictions; `reference` is what the reference's network gave."""
        difference = self._task.difference(left, right)
        self._difference = difference if self._difference is None else self._difference + difference
        self._by_image[image] = difference.value
        margins = self._margins_of(left, right, reference)
        if margins is not None:
            self._changed_margins.append(margins[0])
            self._margins.append(margins[1])

    def _margins_of(self, left: Any, right: Any, reference: ForwardResult) -> tuple[F64, F64] | None:
        """Margins in the first view, or of sliding windows in their mean; None where the task has none."""
        if self._spec.slide is None:
            if isinstance(self._task, HasMargins):
                return self._task.margins(reference.outputs[0], left, right, self._spec)
            return None
        if isinstance(self._task, HasWindowMargins):
            views = reference.inputs.views
            return self._task.window_margins(reference.outputs, views, left, right, self._spec)
        return None

    def comparison(
        self, reference: str, candidate: str, ran: PrecisionRan, images: int, metric: MetricChange | None
    ) -> Comparison:
        """The comparison over all images added."""
        changed = np.concatenate(self._changed_margins) if self._changed_margins else np.zeros(0)
        errors = {name: tally.error() for name, tally in self._outputs.items()}
        main = errors.pop(self._spec.output.name)
        measure, difference = self._task.measure.name, self._difference
        counts = difference.counts if difference else {}
        return Comparison(
            reference=reference,
            candidate=candidate,
            ran=ran,
            images=images,
            **asdict(main),
            labels_changed=difference.reported if difference and measure == "labels_changed" else None,
            changed_margin=float(changed.max()) if len(changed) else None,
            changed_margin_median=float(np.median(changed)) if len(changed) else None,
            margin_median=float(np.median(np.concatenate(self._margins))) if self._margins else None,
            mean_oks=difference.reported if difference and measure == "mean_oks" else None,
            vanished=int(counts["vanished"]) if "vanished" in counts else None,
            appeared=int(counts["appeared"]) if "appeared" in counts else None,
            metric=metric,
            worst=tuple(sorted(self._by_image, key=lambda name: -self._by_image[name])[:3]),
            difference=difference.value if difference else None,
            measure=measure,
            other_outputs=errors,
        )


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
    for other in others:
        if other.spec.task != left.spec.task:
            raise UsageError(
                f"{other.spec.name} is of task {other.spec.task!r}, the reference of {left.spec.task!r}: their "
                "predictions cannot be compared."
            )
    accuracy = _Accuracy([left, *others], truth)
    tallies = [Tally(left.task, left.spec) for _ in others]
    known = list(findings) or [None] * len(others)
    for index, path in enumerate(images):
        expected = forward(left, path)
        prediction = postprocessed(left, expected, "network")
        accuracy.add(0, left, expected, index)
        for place, (pipeline, tally) in enumerate(zip(others, tallies, strict=True), start=1):
            actual = forward(pipeline, path)
            _add_outputs(
                tally, left.spec, expected, actual.under_names_of(pipeline.spec, left.spec), path, known[place - 1]
            )
            candidate = postprocessed(pipeline, actual, "network")
            tally.add_predictions(path.name, prediction, candidate, expected)
            accuracy.add(place, pipeline, actual, index)
        if progress:
            progress(index + 1, len(images))
    return [
        tally.comparison(_origin(reference), _origin(each), pipeline.precision, len(images), accuracy.change(place))
        for place, (each, pipeline, tally) in enumerate(zip(candidates, others, tallies, strict=True), start=1)
    ]


def _add_outputs(
    tally: Tally, spec: ModelSpec, expected: ForwardResult, actual: ForwardResult, path: Path, findings: Findings | None
) -> None:
    """Add every output of every view; `actual` uses the reference's names.

    Raises:
        BadShapeError: a view or an output is missing, or of another shape.
    """
    if len(expected.outputs) != len(actual.outputs):
        raise BadShapeError(
            f"{path.name}: the reference sees {len(expected.outputs)} views, not {len(actual.outputs)}."
        )
    for left, right in zip(expected.outputs, actual.outputs, strict=True):
        for tensor in spec.outputs:
            shapes = [view[tensor.name].shape if tensor.name in view else "nothing" for view in (left, right)]
            if shapes[0] != shapes[1]:
                cause = f" They part at {findings.location}." if findings and findings.location else ""
                raise BadShapeError(
                    f"{path.name}: the reference gives {shapes[0]} as {tensor.name}, the candidate {shapes[1]}.{cause}"
                )
            tally.add_output(tensor.name, left[tensor.name], right[tensor.name])


def _pipeline(each: ChainStage | Pipeline) -> Pipeline:
    return each.pipeline if isinstance(each, ChainStage) else each


def _origin(each: ChainStage | Pipeline) -> str:
    if isinstance(each, Pipeline):
        return str(each.artifact.folder) if each.artifact else each.spec.name
    # The graph between a float artifact and an engine has no file of its own.
    return each.title if each.kind == "optimised graph" else str(each.path)


def _as_float32(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.float32) if np.issubdtype(array.dtype, np.floating) else array


def _larger(a: float, b: float) -> float:
    """The larger value; NaN if either is NaN."""
    return b if np.isnan(b) or b > a else a


def _share(apart: float, whole: float) -> float:
    """`apart` relative to `whole`; infinite if only `whole` is 0, and NaN stays NaN."""
    if whole:
        return apart / whole
    return apart * math.inf if apart else 0.0
