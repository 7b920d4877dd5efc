"""Comparison results: how far outputs and predictions differ, and where the difference starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from densecast.spec import html_table
from densecast.spec.precision import PrecisionRan
from densecast.spec.score import Interval

PipelineStep = Literal["decode", "resize", "colour order", "normalise", "network", "postprocess"]

# Two orders of summation agree to this; below, an expectation says nothing.
ROUNDING_FLOOR = 3e-7


@dataclass(frozen=True, slots=True)
class MetricChange:
    """The metric on the images with ground truth: both values, and the drop with its 95 % interval over images.

    `drop` is what the candidate loses, in the metric's own unit: the reference's score less the candidate's, or the
    other way round where less is better.
    """

    metric: str
    reference: float
    candidate: float
    drop: Interval | None


@dataclass(frozen=True, slots=True)
class OutputError:
    """How far one raw output is from the reference's, over all images.

    `relative_error` is the largest difference over the reference's largest value; `relative_l2` the norm of the
    difference over the norm of the reference.
    """

    max_error: float
    mean_error: float
    relative_error: float
    relative_l2: float
    cosine: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against the reference, over all images.

    `max_error` to `cosine` are the `OutputError` of the main output; `other_outputs` holds that of every further one by
    its name in the reference. `difference` is the share of the predictions that differs, 0 for none and 1 for all, as
    the task measures it; `measure` is what the task calls it.

    `labels_changed` is the share of pixels with another class; `mean_oks`, `vanished` and `appeared` compare the people
    found. A pixel's margin is the gap between the reference's two best logits there: `changed_margin` is the largest
    and `changed_margin_median` the median among the changed pixels, `margin_median` that of all pixels. Small against
    it means that only near-ties flipped. What the task does not measure is None. `worst` names the images that differ
    most.
    """

    reference: str
    candidate: str
    ran: PrecisionRan
    images: int
    max_error: float
    mean_error: float
    relative_error: float
    relative_l2: float
    cosine: float
    labels_changed: float | None
    changed_margin: float | None
    changed_margin_median: float | None = None
    margin_median: float | None = None
    mean_oks: float | None = None
    vanished: int | None = None
    appeared: int | None = None
    metric: MetricChange | None = None
    worst: tuple[str, ...] = ()
    difference: float | None = None
    measure: str = ""
    other_outputs: dict[str, OutputError] = field(default_factory=dict)

    @property
    def relative_errors(self) -> tuple[float, ...]:
        """The relative error of every output, the main one first."""
        return (self.relative_error, *(error.relative_error for error in self.other_outputs.values()))


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A tensor's relative L2 error, the expected rounding error, and the part that its sources did not have."""

    tensor: str
    layer: str
    kind: str
    error: float
    expected: float
    entered: float = 0.0

    @property
    def times_expected(self) -> float:
        """The error as a multiple of the expected rounding error."""
        return self.error / max(self.expected, ROUNDING_FLOOR)


@dataclass(frozen=True, slots=True)
class Location:
    """Where reference and candidate diverge: the pipeline step; within the network also node and original layer.

    `symptom` describes the difference in a clause. `error` and `expected` are as in `CurvePoint`.
    """

    stage: PipelineStep
    layer: str
    node: str
    kind: str
    symptom: str
    error: float | None = None
    expected: float | None = None

    def __str__(self) -> str:
        """A one-line description of the location."""
        if self.stage != "network":
            return f"{self.stage}: {self.symptom}"
        layer = f"layer {self.layer}, " if self.layer else ""
        return f"network: {layer}{self.kind} node {self.node}: {self.symptom}"


@dataclass(frozen=True, slots=True)
class Findings:
    """Where they diverge (None if rounding explains everything), and the measured tensors in network order.

    `runs` counts the runs of each network. `note` says why the inside was not looked at.
    """

    location: Location | None
    curve: tuple[CurvePoint, ...]
    runs: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class ComparedStage:
    """One stage of the accuracy chain: its distance from the reference and, if localised, where it starts."""

    title: str
    comparison: Comparison
    findings: Findings | None = None


@dataclass(frozen=True, slots=True)
class CompareResult:
    """Every stage from the reference's own graph to the last candidate, on the same images.

    `remarks` say what a reader has to know beside the numbers, as images that failed.
    """

    model: str
    reference: str
    images: int
    stages: tuple[ComparedStage, ...]
    remarks: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """The stages with their differences, for notebooks."""
        rows = []
        for stage in self.stages:
            each = stage.comparison
            differs = "" if each.difference is None else f"{100 * each.difference:.3g} %"
            drop = "" if each.metric is None else str(each.metric.drop or each.metric.reference - each.metric.candidate)
            rows.append([stage.title, f"{each.max_error:.3g}", f"{each.relative_l2:.2e}", differs, drop])
        title = f"{self.model} against {self.reference}, {self.images} images"
        header = ["", "largest error", "relative L2", "predictions that differ", "metric lost"]
        return html_table.table(title, header, rows)
