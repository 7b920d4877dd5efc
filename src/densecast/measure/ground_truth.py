"""The images and metric that a model is measured with; the one place where a target meets a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from densecast.datasets._base import DATASETS, Dataset, DatasetFormat, published_protocol
from densecast.errors import UsageError
from densecast.io import config
from densecast.metrics._base import METRICS, Metric
from densecast.spec.geometry import Placement
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.sample import Sample, Split, SplitRecord
from densecast.spec.score import Score
from densecast.tasks._base import TASKS, Task


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The images that a model is measured on, and its metric.

    `protocol` names the published way to measure that chose the images, where one did.
    """

    spec: ModelSpec
    dataset: Dataset[Any]
    samples: tuple[Sample, ...]
    metric: Metric[Any, Any, Any]
    task: Task[Any, Any]
    frame: Frame
    record: SplitRecord
    protocol: str | None = None

    @classmethod
    def open(
        cls,
        spec: ModelSpec,
        data: Path | None = None,
        *,
        split: Split = "val",
        seed: int = 0,
        limit: int | None = None,
        protocol: str | None = None,
    ) -> Self:
        """Open the model's own data set, at `data` or where the configuration names it, with its own metric.

        `limit` takes the first so many of the split; `protocol` determines split and number instead.

        Raises:
            UsageError: the model names no data set and metric, or does something else than the protocol.
            MissingFileError: nothing says where the data is.
            MissingExtraError: the metric needs a library that is not installed.
            BadDatasetError: the data cannot be used.
        """
        layout, root = data_root(spec, data)
        assert spec.evaluation is not None
        metric = metric_of(spec)
        if protocol is not None:
            published = published_protocol(layout, spec.evaluation.dataset, protocol)
            published.check_model(protocol, spec)
            dataset = layout.open(root, published.split, seed)
            published.check_images(protocol, len(dataset.samples))
            limit = published.count
        else:
            dataset = layout.open(root, split, seed)
        return cls(
            spec=spec,
            dataset=dataset,
            samples=dataset.samples[:limit],
            metric=metric,
            task=TASKS.load_trusted(spec.task),
            frame=spec.evaluation.frame,
            record=dataset.record(limit),
            protocol=protocol,
        )

    def target(self, sample: Sample, placement: Placement) -> Any:
        """The sample's ground truth in the frame that this metric compares in."""
        return self.task.target_at(self.dataset.read_target(sample), placement, self.frame)

    def count(self, sample: Sample, prediction: Any, placement: Placement) -> Any:
        """Count one image; `prediction` is in the metric's frame, `placement` is the image's placement in the input."""
        return self.metric.count(sample.id, prediction, self.target(sample, placement), self.spec)

    def score(self, counts: Sequence[Any]) -> Score:
        """The score of the counted images, with a record of what it was measured on."""
        return replace(self.metric.score(counts, self.spec), data=self.record, protocol=self.protocol)


def data_root(spec: ModelSpec, data: Path | None) -> tuple[DatasetFormat, Path]:
    """The format of the model's data set and its root: `data`, or the one that the configuration names.

    Raises:
        UsageError: the model names no data set and metric.
        MissingFileError: nothing says where the data is.
    """
    if spec.evaluation is None:
        raise UsageError(f"{spec.name} names no data set and metric; its spec file lacks [evaluation].")
    layout = DATASETS.load_trusted(spec.evaluation.dataset)
    return layout, data or config.data_root(spec.evaluation.dataset, layout.root_variables)


def metric_of(spec: ModelSpec) -> Metric[Any, Any, Any]:
    """The model's own metric, checked to support the model.

    Raises:
        UsageError: the model names none, or one of another task.
        MissingExtraError: it needs a library that is not installed.
    """
    if spec.evaluation is None:
        raise UsageError(f"{spec.name} names no data set and metric; its spec file lacks [evaluation].")
    metric = METRICS.load_trusted(spec.evaluation.metric)
    metric.check(spec)
    return metric
