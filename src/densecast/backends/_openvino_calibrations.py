"""Compares calibration methods on an OpenVINO model: one pass for all ranges, and models that are never written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.backends import _nncf, _openvino_model
from densecast.backends._base import F32, BuildJob, listed_batch_sizes
from densecast.backends._nncf_calibrator import Calibrator
from densecast.io import files
from densecast.runtime.machine import usable_cpus
from densecast.spec import cpu as cpus
from densecast.spec.options import BiasCorrection, CalibrationMethod
from densecast.spec.tensor import Feeds

# The quantisers that were placed last, for the build that follows its trials: where they go depends on no range. Only
# the thread that placed them gets them again: they hold what they are given.
_placed: dict[str, tuple[Any, Calibrator | None]] = {}
# The 16-bit type that trials had, for that build: where the timing decides nothing, another one might say otherwise.
_chosen: dict[str, HalfTypeRecord | None] = {}


def placed(job: BuildJob) -> tuple[Any, Calibrator | None]:
    """A job's model, and its quantisers where those known here can place them.

    Whoever gets them may give them ranges, and changes neither.
    """
    found = _placed.pop(_key(job), None)
    if found is None:
        model = _openvino_model.folded(_openvino_model.read(job))
        full_weights = cpus.takes_full_weights(job.options.cpu)
        found = model, _nncf.calibrator(model, len(job.calibration), job.options.quantize, full_weights=full_weights)
    _placed.clear()
    return found


def keep(job: BuildJob, model: Any, quantisers: Calibrator) -> None:
    """Keep them for the next call of `placed`, which is that of the build."""
    _placed[_key(job)] = model, quantisers


def keep_half_type(job: BuildJob, record: HalfTypeRecord | None) -> None:
    """Keep the 16-bit type that a job's trials have (None: float32) for the build that follows them."""
    _chosen.clear()
    _chosen[_key(job)] = record


def half_type(job: BuildJob, choose: Callable[[], HalfTypeRecord | None]) -> HalfTypeRecord | None:
    """The 16-bit type of the trials before, else that which `choose` gives."""
    key = _key(job)
    return _chosen.pop(key) if job.tried and key in _chosen else choose()


def _key(job: BuildJob) -> str:
    """What places depend on: the graph, its sizes, and the options but for those that choose ranges and biases."""
    quantize = replace(job.options.quantize, calibration_method="auto", bias_correction="auto")
    shapes = [(spec.name, spec.shape) for spec in job.spec.inputs]
    parts = (threading.get_ident(), files.sha256(job.graph), shapes, quantize, job.options.cpu)
    return files.sha256_text(repr(parts))


class OpenVinoCalibrationTrials:
    """Int8 models by several calibration methods, compiled in memory.

    `checked_hint` gives the 16-bit type of the first of them, once it has run in a process of its own: all differ in
    nothing but numbers, so that the engine takes all or none.
    """

    def __init__(
        self,
        job: BuildJob,
        model: Any,
        placed: Calibrator,
        methods: Sequence[CalibrationMethod],
        checked_hint: Callable[[Any], str],
        *,
        with_biases: bool,
    ) -> None:
        self._job, self._model, self._placed, self._checked_hint = job, model, placed, checked_hint
        self._type: str | None = None
        with _nncf.quiet():
            placed.collect(job.calibration, methods, with_biases=with_biases)

    def float32(self, images: Sequence[Feeds]) -> list[F32]:
        """The main output of each image in float32."""
        return self._outputs(self._model, "f32", images)

    def int8(self, method: CalibrationMethod, bias: BiasCorrection, images: Sequence[Feeds]) -> list[F32]:
        """The main output of each image in int8, with ranges by a method."""
        with _nncf.quiet():
            model = self._placed.int8(method, corrects_biases=bias == "fast")
        if self._type is None:
            self._type = self._checked_hint(model)
        return self._outputs(model, self._type, images)

    def _outputs(self, model: Any, hint: str, images: Sequence[Feeds]) -> list[F32]:
        ov = _openvino_model.imported()
        spec = self._job.spec
        batch = len(images[0][spec.input.name]) if listed_batch_sizes(self._job.options) else None
        model = _openvino_model.with_sizes(ov, model.clone(), spec.inputs, batch)
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": usable_cpus(),
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
        main = [tensor.name for tensor in spec.outputs].index(spec.output.name)
        found = []
        for feeds in images:
            arrays = [np.ascontiguousarray(feeds[tensor.name]) for tensor in spec.inputs]
            request.infer(dict(enumerate(arrays)), share_inputs=True, share_outputs=True)
            found.append(np.array(request.get_output_tensor(main).data, dtype=np.float32))
        return found
