"""OpenVINO as it comes, with OpenCV and numpy, an image after the other.

Nothing is set but the number of threads: OpenVINO chooses its own precision, bfloat16 where the CPU has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import openvino

from contenders.job import Array, Job
from contenders.plain_stages import decoded, prepared
from densecast.artifact import Artifact


class OpenVinoLoop:
    """A compiled model and its one request."""

    def __init__(self, job: Job) -> None:
        cv2.setNumThreads(job.threads)
        self.compiled = openvino.Core().compile_model(str(job.onnx), "CPU", {"INFERENCE_NUM_THREADS": job.threads})
        self.spec = Artifact.open(job.exported).spec

    def run(self, images: Sequence[Path]) -> None:
        for image in images:
            self.result(image)

    def result(self, image: Path) -> Array:
        values, image_hw = prepared(image, self.spec)
        return decoded(self.compiled(values)[0], image_hw, self.spec)

    def facts(self) -> dict[str, float | str]:
        kind = self.compiled.get_property("INFERENCE_PRECISION_HINT")
        return {"openvino": openvino.get_version(), "precision": kind.get_type_name()}


def enter(job: Job) -> OpenVinoLoop:
    return OpenVinoLoop(job)
