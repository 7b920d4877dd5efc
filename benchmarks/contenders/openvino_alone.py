"""OpenVINO's inference alone, on tensors that are ready: the limit of everything that is built around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino

from contenders.job import Array, Job
from densecast.artifact import CompiledArtifact


class OpenVinoAlone:
    """The built model in OpenVINO's own queue of asynchronous requests, one for each stream."""

    def __init__(self, job: Job) -> None:
        assert job.built is not None
        artifact = CompiledArtifact.open(job.built)
        core = openvino.Core()
        model = core.read_model(artifact.file("model.xml"))
        build = artifact.manifest.build
        assert isinstance(build.shape.batch, tuple)
        shape = (build.shape.batch[0], *artifact.spec.input.shape[1:])
        model.reshape(shape)
        config = {
            **artifact.manifest.settings,
            "INFERENCE_NUM_THREADS": job.threads,
            "NUM_STREAMS": job.streams,
            "PERFORMANCE_HINT": "LATENCY" if job.streams == 1 else "THROUGHPUT",
        }
        compiled = core.compile_model(model, "CPU", config)
        self.queue = openvino.AsyncInferQueue(compiled, job.streams)
        values = np.random.default_rng(0).random(shape, dtype=np.float32)
        for request in self.queue:
            request.set_input_tensor(openvino.Tensor(values.copy()))

    def run(self, images: Sequence[Path]) -> None:
        for _ in images:
            self.queue.start_async()
        self.queue.wait_all()

    def result(self, image: Path) -> Array:
        return np.zeros(0, np.uint8)

    def facts(self) -> dict[str, float | str]:
        return {"openvino": openvino.get_version()}


def enter(job: Job) -> OpenVinoAlone:
    return OpenVinoAlone(job)
