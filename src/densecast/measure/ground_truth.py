"""The images and metric that a model is measured with; the one place where a target meets a prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from densecast.datasets._base import Dataset, HasRemarks, published_protocol
from densecast.errors import UsageError
from densecast.measure import truth_check
from densecast.measure.data_source import find, metric_of
from densecast.measure.in_memory import InMemory, Triples, in_memory
from densecast.metrics._base import Metric, TellsTruth
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.geometry import Placement
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.sample import Sample, Split, SplitRecord
from densecast.spec.score import Score
from densecast.tasks._base import TASKS, Image, Task


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
    allow_ignored: bool = False

    @classmethod
    def open(
        cls,
        spec: ModelSpec,
        data: Path | Data | Triples | None = None,
        *,
        split: Split = "val",
        seed: int = 0,
        limit: int | None = None,
        protocol: str | None = None,
    ) -> Self:
        """Open the model's data set, at `data` or where the configuration names it, with its metric.

        `data` with its options says what is meant, see `data_source.find`; or it is a sequence of (id, image, target).
        `limit` takes the first so many of the split; `protocol` determines split and number instead.

        Raises:
            UsageError: the model names no data set and metric, or does something else than the protocol; or a `seed`
                that draws nothing.
            MissingFileError: nothing says where the data is.
            MissingExtraError: the metric needs a library that is not installed.
            BadDatasetError: the data cannot be used.
        """
        if data is not None and not isinstance(data, (Path, Data)):
            spec, dataset = in_memory(spec, data, split, protocol)
            options = DataOptions()
        else:
            options = Data.at(data).options
            source = find(spec, data)
            spec = source.spec
            source.check_truth()
            if protocol is not None:
                published = published_protocol(source.layout, source.evaluation.dataset, protocol)
                published.check_model(protocol, spec)
                dataset = source.open(published.split, seed)
                published.check_images(protocol, len(dataset.samples))
                limit = published.count
            else:
                dataset = source.open(split, seed)
        record = dataset.record(limit)
        if seed and record.seed is None:
            raise UsageError(
                "seed draws a split of images that name none, and these name their own: leave it out.", field="seed"
            )
        metric = metric_of(spec)
        assert spec.evaluation is not None
        return cls(
            spec=spec,
            dataset=dataset,
            samples=dataset.samples[:limit],
            metric=metric,
            task=TASKS.load_trusted(spec.task),
            frame=spec.evaluation.frame,
            record=record,
            protocol=protocol,
            allow_ignored=options.allow_ignored,
        )

    def read(self, sample: Sample, read: Callable[[Path], Image]) -> Image:
        """The sample's image: of the data set's own memory, or by `read` from its file."""
        return self.dataset.image(sample) if isinstance(self.dataset, InMemory) else read(sample.image)

    def target(self, sample: Sample, placement: Placement) -> Any:
        """The sample's ground truth in the frame that this metric compares in."""
        return self.task.target_at(self.dataset.read_target(sample), placement, self.frame)

    def count(
        self,
        sample: Sample,
        prediction: Any,
        placement: Placement,
        *,
        seen: Callable[[Any], None] | None = None,
        observe: Callable[[Sample, Any, Any], None] | None = None,
    ) -> Any:
        """Count one image; `prediction` is in the metric's frame, `placement` is the image's placement in the input.

        `seen` is told the ground truth as it was read, `observe` the prediction beside it, in the metric's frame.
        """
        target = self.dataset.read_target(sample)
        if seen is not None:
            seen(target)
        target = self.task.target_at(target, placement, self.frame)
        if observe is not None:
            observe(sample, prediction, target)
        return self.metric.count(sample.id, prediction, target, self.spec)

    def score(self, counts: Sequence[Any], told: tuple[str, ...] = ()) -> Score:
        """The score of the counted images, with a record of what it was measured on; `told` are remarks of others.

        Raises:
            BadDatasetError: ground truth that makes the score a lie, see `truth_check`.
        """
        metric: object = self.metric
        dataset: object = self.dataset
        remarks: tuple[str, ...] = dataset.remarks if isinstance(dataset, HasRemarks) else ()
        if isinstance(metric, TellsTruth):
            summary = metric.truth(counts, self.spec)
            remarks += truth_check.check(summary, self.spec.labels, allow_ignored=self.allow_ignored)
        score = self.metric.score(counts, self.spec)
        remarks += truth_check.of_no_number(score, self.spec.task)
        return replace(score, data=self.record, protocol=self.protocol, remarks=(*remarks, *told))
