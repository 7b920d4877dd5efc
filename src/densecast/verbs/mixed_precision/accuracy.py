"""Measures the accuracy drop against float32: on ground truth, or without it on float32's predictions."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from densecast.artifact import CalibrationRecord
from densecast.errors import BadDatasetError, UsageError
from densecast.imaging.folder import images_in
from densecast.imaging.views import ModelInputs
from densecast.io import files
from densecast.measure.change import bootstrap, paired_drop, values_of
from densecast.measure.data_source import here, source_or_folder
from densecast.measure.ground_truth import GroundTruth
from densecast.pipeline import Pipeline
from densecast.runtime import process_settings
from densecast.runtime.ordered_map import ordered_parallel_map
from densecast.spec.data_options import Data
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.sample import Sample
from densecast.spec.score import Interval
from densecast.spec.verb_options import MaxDrop
from densecast.tasks._base import TASKS
from densecast.verbs.builder.calibration import spread

# Preprocessed images are held between candidates as long as they fit in here.
_CACHE_BYTES = 1 << 30
# What of the time one pass over the images may take, so that a search gets to try some.
_SHARE_OF_TIME = 1 / 25
_TIMED_IMAGES = 4
MOST_IMAGES, FEWEST_IMAGES = 200, 20
Progress = Callable[[int, int], None]
Judgement = TypeVar("Judgement")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A prepared image, with its ground truth if the metric needs any."""

    inputs: ModelInputs
    target: Any

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        return self.inputs.nbytes + (self.target.nbytes if isinstance(self.target, np.ndarray) else 0)


class AccuracyEvaluator:
    """Measures models on the same images in the same order.

    Images that ranges were calibrated on, and those of `excluded_ids`, are left out where enough others are there.
    With `on` another than `local` predictions are counted there, see `counts_on`; its records are kept below `scratch`.
    `metric` is the name of what is measured: the model's own metric, or without ground truth the task's measure against
    float32, for which predictions are compared at the network's size.
    """

    def __init__(
        self,
        spec: ModelSpec,
        data: Path | Data,
        options: MaxDrop,
        *,
        calibration: CalibrationRecord | None = None,
        excluded_ids: Collection[str] = (),
        on: str = "local",
        scratch: Path | None = None,
    ) -> None:
        self._spec, self._options, self._data, self._on, self._scratch = spec, options, data, on, scratch
        self._task = TASKS.load_trusted(spec.task)
        truth, samples = _opened(spec, data, options)
        used = {*excluded_ids, *(calibration.ids if calibration else ())}
        unused = tuple(sample for sample in samples if sample.id not in used)
        self._samples = unused if len(unused) >= FEWEST_IMAGES else samples
        self.metric = _metric_name(options.metric, truth, self._task.measure.metric)
        self._truth = truth if truth is not None and self.metric == truth.metric.name else None
        if on != "local" and self._truth is None:
            raise UsageError(
                "other machines count the model's own metric, which needs the root of a data set with ground truth.",
                field="on",
            )
        self._count: int | None = min(options.images, len(self._samples)) if options.images else None
        self._cache: dict[str, _Loaded] = {}
        self._cached_bytes, self._caching = 0, threading.Lock()
        self._reference_counts: list[Any] = []
        self._reference_predictions: dict[str, Any] = {}
        self._reference_score: float | None = None

    @property
    def images(self) -> int:
        """The number of images measured on; 0 before it is set."""
        return self._count or 0

    @property
    def reference_score(self) -> float:
        """The score of float32, in the metric's unit; 1 without ground truth. Known after `measure_reference`."""
        assert self._reference_score is not None
        return self._reference_score

    @property
    def identity(self) -> str:
        """Hash over the available images, their file sizes, and the number requested."""
        sizes = [(sample.id, sample.image.stat().st_size) for sample in self._samples]
        # How masks are read changes the drop as other images do.
        layout = self._truth.record.layout if self._truth is not None else None
        return files.sha256_text(repr((sizes, self._options.images, *([layout] if layout else []))))

    @property
    def samples(self) -> list[Sample]:
        """The images, spread over the split."""
        return [self._samples[index] for index in spread(len(self._samples), self.images, seed=0)]

    def seconds_per_image(self, pipeline: Pipeline) -> float:
        """Mean time from file to prediction over a few images, without the first."""
        times = []
        for sample in self._samples[:_TIMED_IMAGES]:
            start = time.perf_counter()
            pipeline.predict(pipeline.preprocess(pipeline.read(sample.image)), self._frame)
            times.append(time.perf_counter() - start)
        return sum(times[1:]) / max(len(times) - 1, 1)

    def choose_count(self, seconds_per_image: float) -> None:
        """Choose the number of images so that a pass takes a small share of the time, unless the options fix it."""
        if self._count is None:
            affordable = int(self._options.seconds * _SHARE_OF_TIME / max(seconds_per_image, 1e-6))
            self._count = min(len(self._samples), max(FEWEST_IMAGES, min(affordable, MOST_IMAGES)))

    def set_count(self, images: int) -> None:
        """Use `images` images, or all if there are fewer."""
        self._count = min(images, len(self._samples))

    def some_inputs(self, pipeline: Pipeline, count: int) -> list[ModelInputs]:
        """At most `count` of the images, prepared for the network, for cheap comparisons of candidates."""
        samples = self.samples
        picks = spread(len(samples), min(count, len(samples)), seed=1)
        return [self._load(pipeline, samples[index]).inputs for index in picks]

    def measure_reference(self, pipeline: Pipeline, progress: Progress) -> None:
        """Predict all images with float32, the reference for every candidate."""
        if self._truth is None:
            predictions = self._judged(pipeline, lambda sample, loaded, prediction: prediction, progress)
            self._reference_predictions = {
                sample.id: each for sample, each in zip(self.samples, predictions, strict=True)
            }
            self._reference_score = 1.0
            return
        counts = self._reference_counts = self._counts(self._truth, pipeline, progress)
        once = np.ones((1, self.images), np.int64)
        self._reference_score = float(values_of(self._truth.metric, counts, once, self._spec)[0])

    def drop(self, pipeline: Pipeline, progress: Progress) -> Interval:
        """A candidate's drop, in points, with the interval over images."""
        if self._truth is None:
            lost = _label_free_drop(self._similarities(pipeline, progress))
        else:
            counts = self._counts(self._truth, pipeline, progress)
            lost = paired_drop(self._truth.metric, self._spec, self._reference_counts, counts)
        return Interval(100 * lost.value, 100 * lost.low, 100 * lost.high)

    def _counts(self, truth: GroundTruth, pipeline: Pipeline, progress: Progress) -> list[Any]:
        """The metric's counts, image by image."""
        if self._on != "local":
            return self._counts_elsewhere(truth, pipeline, progress)
        return self._judged(
            pipeline,
            lambda sample, loaded, prediction: truth.metric.count(sample.id, prediction, loaded.target, truth.spec),
            progress,
        )

    def _counts_elsewhere(self, truth: GroundTruth, pipeline: Pipeline, progress: Progress) -> list[Any]:
        """The same, computed on other machines."""
        from densecast.verbs.stored.counting import counts_on

        assert pipeline.artifact is not None and self._scratch is not None
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="counts-") as folder:
            store = Path(folder) / "store"
            split = self._options.split
            return counts_on(self._on, pipeline.artifact, truth, self.samples, self._data, split, store, progress)

    def _similarities(self, pipeline: Pipeline, progress: Progress) -> list[float]:
        """The similarity of predictions to float32's, image by image; 1 for equal ones."""
        return self._judged(
            pipeline,
            lambda sample, loaded, prediction: (
                1 - self._task.difference(self._reference_predictions[sample.id], prediction).value
            ),
            progress,
        )

    def _judged(
        self, pipeline: Pipeline, judge: Callable[[Sample, _Loaded, Any], Judgement], progress: Progress
    ) -> list[Judgement]:
        """What `judge` makes of every image and its prediction, in order; one is judged while the next is predicted."""

        def judged(worker: int, sample: Sample) -> Judgement:
            loaded = self._load(pipeline, sample)
            return judge(sample, loaded, pipeline.predict(loaded.inputs, self._frame))

        found: list[Judgement] = []
        workers = pipeline.config.num_workers
        results = ordered_parallel_map(judged, self.samples, workers)
        with process_settings.opencv_threads(pipeline.config.num_threads // workers), contextlib.closing(results):
            for each in results:
                found.append(each)
                progress(len(found), self.images)
        return found

    @property
    def _frame(self) -> Frame:
        """The frame of predictions: the metric's, or without ground truth the network's, which is cheaper."""
        return "network" if self._truth is None else self._truth.frame

    def _load(self, pipeline: Pipeline, sample: Sample) -> _Loaded:
        if sample.id in self._cache:
            return self._cache[sample.id]
        inputs = pipeline.preprocess(pipeline.read(sample.image))
        loaded = _Loaded(inputs, None if self._truth is None else self._truth.target(sample, inputs.placement))
        with self._caching:
            if self._cached_bytes + loaded.nbytes <= _CACHE_BYTES:
                self._cached_bytes += loaded.nbytes
                self._cache[sample.id] = loaded
        return loaded


def _opened(spec: ModelSpec, data: Path | Data, options: MaxDrop) -> tuple[GroundTruth | None, tuple[Sample, ...]]:
    """The ground truth at `data` (None for a plain folder of images or a model without a metric), and the images."""
    if source_or_folder(spec, data) is None:
        folder = here(data).path
        assert folder is not None
        return None, tuple(Sample(path.name, path, path) for path in images_in(folder))
    try:
        truth = GroundTruth.open(spec, data, split=options.split)
    except BadDatasetError as error:
        raise BadDatasetError(
            f"images to measure a drop on (split {options.split!r}): {error}", field="max_drop.split"
        ) from None
    return truth, truth.samples


def _metric_name(asked_name: str | None, truth: GroundTruth | None, label_free: str) -> str:
    """The metric's full name, checked against what the data supports.

    Raises:
        UsageError: it cannot be measured with this model and data.
    """
    allowed = [label_free] if truth is None else [truth.metric.name, label_free]
    if asked_name is None:
        return allowed[0]
    for name in allowed:
        if asked_name.lower() in (name.lower(), name.partition("_")[0].lower()):
            return name
    raise UsageError(
        f"metric {asked_name!r}: with this model and data a drop can be measured in {' or '.join(allowed)}."
        + ("" if truth else " For the model's own metric, the data must be the root of its data set."),
        field="max_drop.metric",
    )


def _label_free_drop(similarities: list[float]) -> Interval:
    """1 minus the mean over images, with its interval."""
    values = np.array(similarities)

    def lost(weights: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.asarray(1 - weights @ values / weights.sum(axis=1), dtype=np.float64)

    return bootstrap(len(values), lost)
