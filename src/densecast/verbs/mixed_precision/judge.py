"""How much a model loses against float32: on ground truth where there is any, else by float32's own predictions."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densecast import plugins
from densecast.artifact import CalibrationRecord
from densecast.artifact.search_record import LABEL_FREE, MaxDrop
from densecast.errors import BadDatasetError, UsageError
from densecast.imaging.folder import images_in
from densecast.imaging.prepare import resize_labels
from densecast.imaging.views import ModelInputs
from densecast.io import files
from densecast.measure.bootstrap import paired_drop
from densecast.metrics._base import Accumulator, Resamples
from densecast.pipeline import Pipeline
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.prediction import Prediction
from densecast.spec.sample import Dataset, Sample, Target
from densecast.spec.score import Interval
from densecast.verbs.builder.calibration import is_plain_folder, spread
from densecast.verbs.mixed_precision.agreement import Agreement

# Prepared images are kept between candidates as long as they fit in here.
_HELD_BYTES = 1 << 30
# What of the time one pass over the images may take, so that a search gets to try some.
_SHARE_OF_TIME = 1 / 25
_TIMED = 4
MOST_IMAGES, FEWEST_IMAGES = 200, 20
Tick = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """A model's predictions, counted, and its score."""

    counted: Resamples
    score: float


class Judge:
    """The images a search judges by, in one order for every candidate.

    Images that ranges were found on, and those in `without`, are left out where enough others are there.
    """

    def __init__(
        self,
        spec: ModelSpec,
        data: Path,
        asked: MaxDrop,
        *,
        calibrated: CalibrationRecord | None = None,
        without: Collection[str] = (),
    ) -> None:
        self._spec, self._asked = spec, asked
        self._dataset: Dataset | None = None
        if is_plain_folder(data) or spec.evaluation is None:
            self._samples = tuple(Sample(path.name, path, path) for path in images_in(data))
        else:
            try:
                opened: Dataset = plugins.load("datasets", spec.evaluation.dataset).open(data, asked.split)
            except BadDatasetError as error:
                raise BadDatasetError(f"images to measure a drop on (--drop-split {asked.split}): {error}") from None
            self._dataset, self._samples = opened, opened.samples
        seen = {*without, *(calibrated.ids if calibrated else ())}
        unseen = tuple(sample for sample in self._samples if sample.id not in seen)
        if len(unseen) >= FEWEST_IMAGES:
            self._samples = unseen
        self.metric = self._named()
        self._count: int | None = min(asked.images, len(self._samples)) if asked.images else None
        self._expected: dict[str, Prediction] = {}
        self._held: dict[str, tuple[ModelInputs, Target | None]] = {}
        self._held_bytes = 0
        self._reference: Judged | None = None

    @property
    def images(self) -> int:
        """How many images are judged by; known after `reference`."""
        return self._count or 0

    @property
    def reference_score(self) -> float:
        """float32's own."""
        assert self._reference is not None
        return self._reference.score

    @property
    def identity(self) -> str:
        """Hash over the images there are to judge by, their sizes on disk, and how many were asked for."""
        there = [(sample.id, sample.image.stat().st_size) for sample in self._samples]
        return files.sha256_text(repr((there, self._asked.images)))

    def seconds_per_image(self, pipeline: Pipeline) -> float:
        """The time from file to prediction, of a few images; the first is left out."""
        times = []
        for sample in self._samples[:_TIMED]:
            start = time.perf_counter()
            self._predict(pipeline, pipeline.prepare(pipeline.read(sample.image)))
            times.append(time.perf_counter() - start)
        return sum(times[1:]) / max(len(times) - 1, 1)

    def count_for(self, seconds_per_image: float) -> None:
        """Settle on so many images that a pass takes a small share of the time, unless a number was asked for."""
        if self._count is None:
            affordable = int(self._asked.seconds * _SHARE_OF_TIME / max(seconds_per_image, 1e-6))
            self._count = min(len(self._samples), max(FEWEST_IMAGES, min(affordable, MOST_IMAGES)))

    def fix_count(self, images: int) -> None:
        """Take as many images as an earlier part of this search did."""
        self._count = min(images, len(self._samples))

    def chosen(self) -> list[Sample]:
        """The images, from all over the split."""
        return [self._samples[index] for index in spread(len(self._samples), self.images, seed=0)]

    def some(self, pipeline: Pipeline, count: int) -> list[ModelInputs]:
        """A few of the images, ready for the network, with which candidates are compared cheaply."""
        chosen = self.chosen()
        picks = spread(len(chosen), min(count, len(chosen)), seed=1)
        return [self._ready(pipeline, chosen[index])[0] for index in picks]

    def set_reference(self, pipeline: Pipeline, tick: Tick) -> None:
        """Let float32 predict all images: what every candidate is measured against."""
        if self.metric not in LABEL_FREE:
            self._reference = self._judge(pipeline, tick)
            return
        itself = Agreement()
        for done, sample in enumerate(self.chosen()):
            expected = self._predict(pipeline, self._ready(pipeline, sample)[0])
            self._expected[sample.id] = expected
            itself.compare(expected, expected)
            tick(done + 1, self.images)
        self._reference = Judged(itself, 1.0)

    def drop(self, pipeline: Pipeline, tick: Tick) -> Interval:
        """What a candidate loses, in points, with the interval over images."""
        assert self._reference is not None
        counted = self._judge(pipeline, tick).counted
        lost = paired_drop(self._reference.counted, counted, self.images)
        return Interval(100 * lost.value, 100 * lost.low, 100 * lost.high)

    def _judge(self, pipeline: Pipeline, tick: Tick) -> Judged:
        counter = self._counter()
        for done, sample in enumerate(self.chosen()):
            prepared, target = self._ready(pipeline, sample)
            prediction = self._predict(pipeline, prepared)
            if isinstance(counter, Agreement):
                counter.compare(self._expected[sample.id], prediction)
            else:
                assert target is not None
                counter.add(sample.id, prediction, target)
            tick(done + 1, self.images)
        assert isinstance(counter, Resamples)
        value = counter.resampled(np.ones((1, self.images), np.int64))[0]
        return Judged(counter, float(value))

    def _counter(self) -> Agreement | Accumulator:
        if self.metric in LABEL_FREE:
            return Agreement()
        assert self._spec.evaluation is not None
        counter: Accumulator = plugins.load("metrics", self._spec.evaluation.metric).accumulator(self._spec)
        return counter

    def _predict(self, pipeline: Pipeline, prepared: ModelInputs) -> Prediction:
        return pipeline.run([prepared], frame=self._frame)[0]

    @property
    def _frame(self) -> Frame:
        """Where no ground truth asks for the image's size, the network's is cheaper."""
        if self.metric in LABEL_FREE or self._spec.evaluation is None:
            return "network" if self._spec.task == "segmentation" else "image"
        return self._spec.evaluation.frame

    def _ready(self, pipeline: Pipeline, sample: Sample) -> tuple[ModelInputs, Target | None]:
        if sample.id in self._held:
            return self._held[sample.id]
        prepared = pipeline.prepare(pipeline.read(sample.image))
        target: Target | None = None
        if self._dataset is not None and self.metric not in LABEL_FREE:
            target = self._dataset.read_target(sample)
            if self._frame == "network" and isinstance(target, np.ndarray):
                target = resize_labels(target, prepared.placement.content_hw)
        size = sum(array.nbytes for array in prepared.arrays) + (target.nbytes if isinstance(target, np.ndarray) else 0)
        if self._held_bytes + size <= _HELD_BYTES:
            self._held_bytes += size
            self._held[sample.id] = prepared, target
        return prepared, target

    def _named(self) -> str:
        """The metric asked for, checked against what the data allows."""
        free = "disagreement" if self._spec.task == "segmentation" else "oks"
        own: str | None = None
        if self._dataset is not None and self._spec.evaluation is not None:
            counter: Accumulator = plugins.load("metrics", self._spec.evaluation.metric).accumulator(self._spec)
            name = counter.score().name
            own = name if isinstance(counter, Resamples) else None
        asked = self._asked.metric
        allowed = [name for name in (own, free) if name is not None]
        if asked is None:
            return allowed[0]
        for name in allowed:
            if asked.lower() in (name.lower(), name.partition("_")[0].lower()):
                return name
        raise UsageError(
            f"--metric {asked!r}: with this model and data a drop can be measured in {' or '.join(allowed)}."
            + ("" if own else " For the model's own metric, --data must be the root of its data set.")
        )
