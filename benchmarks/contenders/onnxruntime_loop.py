"""ONNX Runtime with OpenCV and numpy, an image after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import onnxruntime

from contenders.job import Array, Job
from contenders.plain_stages import decoded, prepared
from densecast.artifact import Artifact


class OnnxRuntimeLoop:
    """A session of the float32 graph on all threads."""

    def __init__(self, job: Job) -> None:
        cv2.setNumThreads(job.threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job.threads
        self.session = onnxruntime.InferenceSession(str(job.onnx), options, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name
        self.spec = Artifact.open(job.exported).spec

    def run(self, images: Sequence[Path]) -> None:
        for image in images:
            self.result(image)

    def result(self, image: Path) -> Array:
        values, image_hw = prepared(image, self.spec)
        (output,) = self.session.run(None, {self.name: values})
        return decoded(output, image_hw, self.spec)

    def facts(self) -> dict[str, float | str]:
        return {"onnxruntime": onnxruntime.__version__}


def enter(job: Job) -> OnnxRuntimeLoop:
    return OnnxRuntimeLoop(job)
