"""Adds up how far a candidate is from the reference, image by image: outputs, predictions, margins."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from densecast.results.compare import Comparison, MetricChange, OutputError
from densecast.spec.model import ModelSpec
from densecast.spec.precision import PrecisionRan
from densecast.tasks._base import Difference, HasMargins, HasWindowMargins, Task
from densecast.verbs.compare.forward import ForwardResult

F64 = npt.NDArray[np.float64]


class OutputTally:
    """Accumulates the error of one output over images."""

    def __init__(self) -> None:
        self._largest = self._total = self._squared = self._squared_left = self._squared_right = self._product = 0.0
        self._max, self._values = 0.0, 0

    def add(self, sums: F64) -> None:
        """Add the `sums_of` one image's outputs of one view."""
        most, largest, total, values, squared, left, right, product = sums.tolist()
        self._max, self._largest = _larger(self._max, most), _larger(self._largest, largest)
        self._total += total
        self._values += int(values)
        self._squared += squared
        self._squared_left += left
        self._squared_right += right
        self._product += product

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


class Margins(Protocol):
    """Accumulates margins: of the pixels that changed, and of a sample of all."""

    def add(self, changed: F64, usual: F64) -> None:
        """Add one image's."""

    def facts(self) -> tuple[float | None, float | None, float | None]:
        """The largest and the median where something changed, and the median of all; None where there is none."""


class ExactMargins:
    """Margins, every single one of which is kept."""

    def __init__(self) -> None:
        self._changed: list[F64] = []
        self._usual: list[F64] = []

    def add(self, changed: F64, usual: F64) -> None:
        """Add one image's."""
        self._changed.append(changed)
        self._usual.append(usual)

    def facts(self) -> tuple[float | None, float | None, float | None]:
        """The largest and the median where something changed, and the median of all."""
        changed = np.concatenate(self._changed) if self._changed else np.zeros(0)
        usual = float(np.median(np.concatenate(self._usual))) if self._usual else None
        return (float(changed.max()), float(np.median(changed)), usual) if len(changed) else (None, None, usual)


class Tally:
    """Accumulates the differences of one candidate from the reference; `comparison` returns the result."""

    def __init__(self, task: Task[Any, Any], spec: ModelSpec, margins: Margins | None = None) -> None:
        """Prepare to compare with a reference of that task and spec."""
        self._task, self._spec = task, spec
        self._outputs = {tensor.name: OutputTally() for tensor in spec.outputs}
        self._difference: Difference | None = None
        self.margins: Margins = margins or ExactMargins()
        self._by_image: dict[str, float] = {}

    def add_output(self, name: str, expected: npt.NDArray[Any], actual: npt.NDArray[Any]) -> None:
        """Add one image's raw output of that name, both of one shape."""
        self.add_sums(name, sums_of(expected, actual))

    def add_sums(self, name: str, sums: F64) -> None:
        """The same from its `sums_of`."""
        self._outputs[name].add(sums)

    def add_predictions(self, image: str, left: Any, right: Any, reference: ForwardResult) -> None:
        """Add both predictions; `reference` is what the reference's network gave."""
        self.add_difference(image, self._task.difference(left, right))
        margins = margins_of(self._task, self._spec, left, right, reference)
        if margins is not None:
            self.margins.add(*margins)

    def add_difference(self, image: str, difference: Difference) -> None:
        """Add how much one image's predictions differ."""
        self._difference = difference if self._difference is None else self._difference + difference
        self._by_image[image] = difference.value

    def comparison(
        self, reference: str, candidate: str, ran: PrecisionRan, images: int, metric: MetricChange | None
    ) -> Comparison:
        """The comparison over all images added."""
        largest, changed, usual = self.margins.facts()
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
            changed_margin=largest,
            changed_margin_median=changed,
            margin_median=usual,
            mean_oks=difference.reported if difference and measure == "mean_oks" else None,
            vanished=int(counts["vanished"]) if "vanished" in counts else None,
            appeared=int(counts["appeared"]) if "appeared" in counts else None,
            metric=metric,
            worst=tuple(sorted(self._by_image, key=lambda name: -self._by_image[name])[:3]),
            difference=difference.value if difference else None,
            measure=measure,
            other_outputs=errors,
        )


def sums_of(expected: npt.NDArray[Any], actual: npt.NDArray[Any]) -> F64:
    """Two outputs of one shape -> (8,) what `OutputTally` adds up.

    The largest difference and the reference's largest value; the sum of the differences and the number of values; the
    sums of squares of the difference, the reference and the candidate, and of the products of these two.
    """
    left, right = np.asarray(expected, np.float64), np.asarray(actual, np.float64)
    apart = right - left
    largest = [float(np.abs(each).max(initial=0.0)) for each in (apart, left)]
    pairs = ((apart, apart), (left, left), (right, right), (left, right))
    products = [float(np.vdot(one, other)) for one, other in pairs]
    return np.array([*largest, float(np.abs(apart).sum()), apart.size, *products])


def margins_of(
    task: Task[Any, Any], spec: ModelSpec, left: Any, right: Any, reference: ForwardResult
) -> tuple[F64, F64] | None:
    """Margins in the first view, or of sliding windows in their mean; None where the task has none."""
    if spec.slide is None:
        return task.margins(reference.outputs[0], left, right, spec) if isinstance(task, HasMargins) else None
    if isinstance(task, HasWindowMargins):
        return task.window_margins(reference.outputs, reference.inputs.views, left, right, spec)
    return None


def _larger(a: float, b: float) -> float:
    """The larger value; NaN if either is NaN."""
    return b if np.isnan(b) or b > a else a


def _share(apart: float, whole: float) -> float:
    """`apart` relative to `whole`; infinite if only `whole` is 0, and NaN stays NaN."""
    if whole:
        return apart / whole
    return apart * math.inf if apart else 0.0
