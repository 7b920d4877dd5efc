"""The measuring loop: predicts every image with ground truth and counts it once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from densecast.measure.ground_truth import GroundTruth
from densecast.pipeline import Pipeline, Predicted
from densecast.spec.sample import Sample

Progress = Callable[[int, int], None]
# A sample, its prediction and its target, the last two where the metric compares them.
Observer = Callable[[Sample, Any, Any], None]


def counts(
    truth: GroundTruth,
    pipeline: Pipeline,
    *,
    batch: int | None = None,
    progress: Progress | None = None,
    observe: Sequence[Observer] = (),
) -> Iterator[Any]:
    """Yield a count for each image, in order, with as many images in work as the pipeline has workers.

    Each of `observe` sees every image's prediction beside its target.

    Raises:
        BadImageError, BadDatasetError: an image or its ground truth cannot be used; the counts before it have come.
    """

    def counted(predicted: Predicted[Sample]) -> tuple[Predicted[Sample], Any, Any]:
        target = truth.target(predicted.source, predicted.placement)
        return predicted, target, truth.metric.count(predicted.source.id, predicted.prediction, target, truth.spec)

    def read(sample: Sample) -> Any:
        return truth.read(sample, pipeline.read)

    stream = pipeline.stream(truth.samples, read, counted, batch=batch, frame=truth.frame)
    with contextlib.closing(stream) as results:
        for done, (predicted, target, count) in enumerate(results, start=1):
            for each in observe:
                each(predicted.source, predicted.prediction, target)
            yield count
            if progress:
                progress(done, len(truth.samples))
