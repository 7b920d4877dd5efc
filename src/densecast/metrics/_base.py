"""Protocols of a metric: a pure count for each image, and a score of any collection of counts.

A count holds plain numbers and arrays and can be pickled: counts travel between processes and machines, and a score can
be computed from stored ones, for a part of the images, for images that count several times, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError, UsageError
from densecast.plugins import PluginKind
from densecast.spec.model import ModelSpec
from densecast.spec.score import Score
from densecast.tasks._base import TASKS

P = TypeVar("P", contravariant=True)
T = TypeVar("T", contravariant=True)
C = TypeVar("C", bound="Count")
Counted = TypeVar("Counted", bound="Count", contravariant=True)


class Count(Protocol):
    """A metric's count of one image."""

    @property
    def sample_id(self) -> str:
        """The image's id."""


@runtime_checkable
class Metric(Protocol[P, T, C]):
    """A metric: counts for single images, and a score from counts."""

    @property
    def name(self) -> str:
        """The name of the score's value, as `mIoU`."""

    def check(self, spec: ModelSpec) -> None:
        """Check, before anything runs, that this model can be measured.

        Raises:
            UsageError: a model of another task.
            MissingExtraError: a library that the metric stands on is not installed.
        """

    def count(self, sample_id: str, prediction: P, target: T, spec: ModelSpec) -> C:
        """Count one image, without modifying the arguments.

        Raises:
            BadShapeError: prediction and target do not fit together.
        """

    def score(self, counts: Sequence[C], spec: ModelSpec) -> Score:
        """Score any collection of counts: independent of order to the last digit; NaN with count 0 for none.

        An image may be among them several times, and counts as often.
        """


@runtime_checkable
class Resamples(Protocol[Counted]):
    """A metric with a fast method for scoring many bootstrap resamples."""

    def resampled(
        self, counts: Sequence[Counted], weights: npt.NDArray[np.int64], spec: ModelSpec
    ) -> npt.NDArray[np.float64]:
        """(B, N) times that each of the N images counts -> (B,) values."""


@runtime_checkable
class ScoresStreams(Protocol[Counted]):
    """A metric that scores any number of counts, of which it keeps a few numbers each."""

    def score_stream(self, counts: Iterable[Counted], spec: ModelSpec) -> Score:
        """The same as `score` to the last digit, for counts that come by one after another."""


@dataclass(frozen=True, slots=True)
class CountBlock:
    """The counts of some images, field by field: for each field of the count an entry an image.

    Numbers, and arrays of one shape, are one array whose first axis is the image; other fields are lists.
    """

    ids: Sequence[str]
    fields: Mapping[str, Any]


@runtime_checkable
class ScoresBlocks(Protocol):
    """A metric that scores counts field by field, thousands of images at a time, as a store of millions has them."""

    def score_blocks(self, blocks: Iterable[CountBlock], spec: ModelSpec) -> Score:
        """The same as `score` of all their counts to the last digit, however these are divided into blocks."""

    def truth_of_block(self, block: CountBlock, spec: ModelSpec) -> TruthSummary | None:
        """What `TellsTruth.truth` says of these counts; None of a metric that tells nothing."""


@runtime_checkable
class HasTables(Protocol):
    """A metric whose score can be printed in the reference programs' formats."""

    @property
    def table_styles(self) -> tuple[str, ...]:
        """Names of the table styles, the metric's own first."""

    def table(self, score: Score, style: str) -> str:
        """The score as a text table in the given style."""


@runtime_checkable
class HasResults(Protocol[Counted]):
    """A metric whose counts contain the predictions in the format of the data set's evaluation server."""

    def results(self, counts: Sequence[Counted]) -> list[dict[str, Any]]:
        """All predictions, ready for JSON."""


@dataclass(frozen=True, slots=True)
class TruthSummary:
    """Pixels of the ground truth: by class, not evaluated, and by labels that are none of the model's classes.

    `ignored_alone` and `ignored_beside` are the images with pixels that are not evaluated: those that hold the first
    class alone beside these, and those that hold other classes as well.
    """

    by_class: tuple[int, ...]
    ignored: int
    foreign: dict[int, int]
    ignored_alone: int = 0
    ignored_beside: int = 0

    def __add__(self, other: TruthSummary) -> TruthSummary:
        labels = [*self.foreign, *(label for label in other.foreign if label not in self.foreign)]
        foreign = {label: self.foreign.get(label, 0) + other.foreign.get(label, 0) for label in labels}
        by_class = tuple(left + right for left, right in zip(self.by_class, other.by_class, strict=True))
        alone, beside = self.ignored_alone + other.ignored_alone, self.ignored_beside + other.ignored_beside
        return TruthSummary(by_class, self.ignored + other.ignored, foreign, alone, beside)


@runtime_checkable
class TellsTruth(Protocol[Counted]):
    """A metric whose counts tell what the ground truth held, so that a score on it can be judged."""

    def truth(self, counts: Sequence[Counted], spec: ModelSpec) -> TruthSummary:
        """What the ground truth of the counted images held."""


def require_one_size(sample_id: str, predicted: tuple[int, ...], target: tuple[int, ...]) -> None:
    """Refuse ground truth of another size than its image's prediction.

    Raises:
        BadShapeError: names the image.
    """
    if predicted != target:
        raise BadShapeError(
            f"{sample_id}: a prediction of {predicted} cannot be compared with ground truth of {target}: they must be "
            "of one size, in one orientation."
        )


def in_order(counts: Sequence[C]) -> list[C]:
    """Sort counts by sample id: a sum of floats depends on the order of its terms, so there is one order."""
    return sorted(counts, key=lambda count: count.sample_id)


def require_tensors(metric: str, names: frozenset[str], spec: ModelSpec) -> None:
    """Refuse a model whose predictions lack the tensors that a metric compares.

    Raises:
        UsageError: names the metric, the model and its task.
    """
    tensors = {tensor.name for tensor in TASKS.load_trusted(spec.task).tensor_specs(spec)}
    if not names <= tensors:
        raise UsageError(
            f"metric {metric!r} compares {', '.join(sorted(names))}; {spec.name} is of task {spec.task!r}, whose "
            f"predictions are {', '.join(sorted(tensors))}.",
            field="metric",
        )


METRICS: PluginKind[Metric[Any, Any, Any]] = PluginKind("metrics", "metric", "METRIC", Metric)
