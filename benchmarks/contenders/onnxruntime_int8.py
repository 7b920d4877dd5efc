"""ONNX Runtime in int8 with its own quantiser at its defaults for x86, with OpenCV and numpy."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from contenders.job import Job
from contenders.onnxruntime_loop import OnnxRuntimeLoop
from contenders.plain_stages import prepared
from densecast.artifact import Artifact


class _Images(CalibrationDataReader):
    """The calibration images, one after another."""

    def __init__(self, job: Job) -> None:
        spec = Artifact.open(job.exported).spec
        self._feeds: Iterator[dict[str, Any]] = ({spec.input.name: prepared(path, spec)[0]} for path in job.images)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)


def enter(job: Job) -> OnnxRuntimeLoop:
    with tempfile.TemporaryDirectory() as folder:
        ready, quantised = Path(folder) / "ready.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(str(job.onnx), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(quantised),
            _Images(job),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return OnnxRuntimeLoop(replace(job, onnx=quantised))
