"""densecast end to end, from image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contenders.job import Array, Job
from densecast import Pipeline
from densecast.pipeline import Predicted
from densecast.runtime.clock import StopWatch
from densecast.runtime.execution import Mode
from densecast.tasks.segmentation import SegmentationMap

_OTHER_STAGES = ("decode", "preprocess", "postprocess")


class DensecastStream:
    """A pipeline in latency mode where there is one stream, else in throughput mode."""

    def __init__(self, job: Job) -> None:
        assert job.built is not None
        mode: Mode = "latency" if job.streams == 1 else "throughput"
        self.pipeline = Pipeline.open(job.built, threads=job.threads, mode=mode)
        self.watch = StopWatch()

    def run(self, images: Sequence[Path]) -> None:
        for _ in self.pipeline.stream(images, self.pipeline.read, _dropped, clock=self.watch):
            pass

    def result(self, image: Path) -> Array:
        prediction = self.pipeline(self.pipeline.read(image))
        if isinstance(prediction, SegmentationMap):
            return prediction.class_id
        return np.concatenate([prediction.xy_px, prediction.score[..., None]], axis=2)

    def facts(self) -> dict[str, float | str]:
        """What ran, and the CPU time of an image's stages beside inference."""
        other_stages = sum(float(np.median(self.watch.cpu_ms[stage])) for stage in _OTHER_STAGES)
        return {"ran": str(self.pipeline.precision), "other_stages_cpu_ms": other_stages}


def _dropped(found: Predicted[Path]) -> None:
    """Nothing is kept."""


def enter(job: Job) -> DensecastStream:
    return DensecastStream(job)
