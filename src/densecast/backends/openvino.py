"""OpenVINO backend for the CPU; the default engine."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.backends import (
    _nncf,
    _openvino_half_type,
    _openvino_listed,
    _openvino_model,
    _openvino_saturating,
    _openvino_trial,
)
from densecast.backends._base import (
    Backend,
    BuildJob,
    Built,
    Capabilities,
    Traits,
    listed_batch_sizes,
)
from densecast.backends._inspection import Inspector
from densecast.backends._openvino_inspector import OpenVinoInspector
from densecast.backends._openvino_int8 import OpenVinoQuantized
from densecast.errors import BadArtifactError, BadShapeError
from densecast.io import cache, files
from densecast.kernels.jit_warm_up import jit_warming_up
from densecast.runtime import engine_words, machine
from densecast.runtime.execution import ExecutionConfig
from densecast.spec import cpu as cpus
from densecast.spec.layer import Layer
from densecast.spec.options import ActivationScheme
from densecast.spec.precision import PRECISIONS, Precision, PrecisionRan
from densecast.spec.tensor import Feeds, TensorSpec, check_feeds

_FILE = "model.xml"
_CANNOT, _CURE = "OpenVINO cannot build the graph", "Build with -b onnxruntime."
# The layers that hold nearly all of a network's arithmetic, under OpenVINO's names for what it executes.
_COUNTED = {"Convolution", "Deconvolution", "GroupConvolution", "MatMul", "FullyConnected"}
_TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "int8"}


class OpenVinoBackend:
    """Backend for OpenVINO's CPU plug-in."""

    # NNCF can move biases so that quantised layers keep their mean outputs. TBB's threads do not survive a fork.
    traits = Traits(
        "openvino",
        calibration_methods=("mean_minmax", "minmax", "histogram", "percentile"),
        corrects_biases=True,
        survives_fork=False,
        targets_cpus=True,
    )

    def capabilities(self) -> Capabilities:
        """What OpenVINO's CPU plug-in supports on this machine."""
        try:
            import openvino as ov
        except ImportError as error:
            return Capabilities("", (), (), missing=f"openvino cannot be imported ({error}): pip install openvino")
        core = ov.Core()
        abilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        kinds = ", ".join(sorted(set(abilities) & {"FP32", "FP16", "BF16", "INT8"}))
        return Capabilities(ov.get_version(), tuple(core.available_devices), PRECISIONS, notes=(f"CPU runs {kinds}",))

    def require(self, precision: Precision) -> None:
        """Check that NNCF is there, which int8 is quantised with.

        Raises:
            MissingExtraError: it is not.
        """
        if precision == "qint8_mixed_float16":
            _nncf.require()

    def build(self, job: BuildJob, folder: Path) -> Built:
        """Convert the graph to OpenVINO IR; int8 is quantised on the OpenVINO model."""
        if job.options.precision == "qint8_mixed_float16":
            return self.quantized(job).write(frozenset(), folder)
        model = _openvino_model.read(job)
        with engine_words.as_ours(_CANNOT, _CURE):
            return _save(model, _hint(model, job), job, folder)

    def quantized(self, job: BuildJob) -> OpenVinoQuantized:
        """Calibrate with NNCF; the 16-bit type is the faster one for the full int8 model."""
        # Calibration runs the network in float32, in this process.
        _openvino_trial.check(job.graph, "f32", job.spec.inputs)
        with engine_words.as_ours(_CANNOT, _CURE):
            model = _openvino_model.folded(_openvino_model.read(job))
            full_weights = cpus.takes_full_weights(job.options.cpu)
            int8 = _nncf.quantize(model, job.calibration, job.options.quantize, full_weights=full_weights)
            hint = _hint(int8, job)

        def save(mixed: Any, folder: Path) -> Built:
            with engine_words.as_ours(_CANNOT, _CURE):
                return _save(mixed, hint, job, folder)

        return OpenVinoQuantized(model, int8, hint.type, save)

    def activation_scheme(self, graph: Path) -> ActivationScheme:
        """Resolve `auto`: OpenVINO keeps int8 through a pad only with symmetric ranges."""
        import onnx

        model = onnx.load(graph)
        constants = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
        amounts = [constants.get(node.input[1]) for node in model.graph.node if node.op_type == "Pad"]
        pads = any(amount is None or amount.any() for amount in amounts)
        return "symmetric" if pads else "asymmetric"

    def load(self, artifact: CompiledArtifact, config: ExecutionConfig) -> OpenVinoRunner:
        """Compile the artifact for this CPU, or load it from the cache of compiled models."""
        return OpenVinoRunner(artifact, config)

    def saturating(self, artifact: CompiledArtifact, feeds: Feeds) -> Feeds:
        """The outputs of an int8 model on CPUs without VNNI."""
        names = [tensor.name for tensor in artifact.spec.outputs]
        return _openvino_saturating.outputs(artifact.file(_FILE), artifact.spec.inputs, feeds, names)

    def inspect(self, artifact: CompiledArtifact, config: ExecutionConfig, feed_shape: Sequence[int]) -> Inspector:
        """Open the artifact's model for inspection in its own precision."""
        settings = {**artifact.manifest.settings, "INFERENCE_NUM_THREADS": config.num_threads}
        return OpenVinoInspector(artifact.file(_FILE), feed_shape, settings)

    def layers(self, artifact: CompiledArtifact, shape: Sequence[int]) -> tuple[Layer, ...]:
        """The model's layers, compiled for inputs of one shape."""
        return _openvino_listed.layers(
            artifact.file(_FILE), artifact.spec.inputs, tuple(shape), artifact.manifest.settings, _TYPES
        )


@dataclass(frozen=True, slots=True)
class _Hint:
    """The floating-point type for non-int8 layers, and how it was chosen if it was."""

    type: str
    record: HalfTypeRecord | None = None


def _hint(model: Any, job: BuildJob) -> _Hint:
    if job.options.precision == "force_float32":
        return _Hint("f32")
    if job.options.half_type != "auto":
        return _Hint(job.options.half_type)
    if job.half_types == ():
        return _Hint("f32")
    if job.half_types and job.options.cpu not in machine.kinds():
        return _Hint(job.half_types[0])  # it cannot be timed here
    ov = _openvino_model.imported()
    record = _openvino_half_type.choose(ov.Core(), model, job, ov.get_version())
    return _Hint("f32") if record is None else _Hint(record.chosen, record)


def _save(model: Any, hint: _Hint, job: BuildJob, folder: Path) -> Built:
    ov = _openvino_model.imported()
    settings = {"INFERENCE_PRECISION_HINT": hint.type}
    with files.written_by_library(folder, "OpenVINO's model"):
        ov.save_model(model, folder / _FILE, compress_to_fp16=False)
    _openvino_trial.check(folder / _FILE, hint.type, job.spec.inputs)
    compiled = ov.Core().compile_model(model, "CPU", settings)
    is_int8 = job.options.precision == "qint8_mixed_float16"
    needs = cpus.needs(job.options.cpu, is_int8=is_int8, half_type=hint.type)
    return Built(_read_back(compiled), settings, half_type=hint.record, needs=needs)


class OpenVinoRunner:
    """Runner with one compiled model per listed batch size (compiled at first use), and one request per slot."""

    reuses_buffers = True

    def __init__(self, artifact: CompiledArtifact, config: ExecutionConfig) -> None:
        ov = _openvino_model.imported()
        self._batch_sizes = listed_batch_sizes(artifact.manifest.build)
        self._artifact, self._config, self._core = artifact, config, ov.Core()
        self._inputs, self._outputs = artifact.spec.inputs, artifact.spec.outputs
        self._compiled: dict[int | None, Any] = {}
        self._requests: dict[tuple[int | None, int], Any] = {}
        self._making = threading.Lock()
        self._settings = artifact.manifest.settings
        # OpenVINO's binding makes its table of types when it is first needed, and meanwhile lets go of Python's
        # lock while it holds the table's: two threads that both come first wait for each other for ever.
        ov.Type.f32.to_dtype()
        first = self._batch_sizes[0] if self._batch_sizes else None
        self._precision = _read_back(self._request(first, 0).get_compiled_model())

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The artifact's specs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The artifact's specs."""
        return self._outputs

    @property
    def batch_sizes(self) -> tuple[int, ...] | None:
        """The batch sizes compiled separately; None for a range."""
        return self._batch_sizes

    @property
    def precision(self) -> PrecisionRan:
        """The precision, counted over the compiled graph's layers."""
        return self._precision

    @property
    def max_concurrency(self) -> int:
        """The number of streams that it was compiled for."""
        return self._config.num_streams

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        """Run one inference with the slot's own request; the results are views of its buffers."""
        check_feeds(self._inputs, feeds)
        arrays = [np.ascontiguousarray(feeds[spec.name]) for spec in self._inputs]
        batch = arrays[0].shape[0] if self._batch_sizes else None
        request = self._request(batch, slot)
        try:
            request.infer(dict(enumerate(arrays)), share_inputs=True, share_outputs=True)
        except RuntimeError:
            # A model whose shape inference failed goes on failing on sound inputs: it is compiled anew.
            with self._making:
                self._compiled.pop(batch, None)
                for key in [key for key in self._requests if key[0] == batch]:
                    del self._requests[key]
            raise
        return {spec.name: request.get_output_tensor(place).data for place, spec in enumerate(self._outputs)}

    def close(self) -> None:
        """Release all compiled models."""
        self._requests.clear()
        self._compiled.clear()

    def _request(self, batch: int | None, slot: int) -> Any:
        with self._making:
            if (batch, slot) not in self._requests:
                if batch is not None and self._batch_sizes and batch not in self._batch_sizes:
                    raise BadShapeError(f"this artifact was built for batches of {self._batch_sizes}, got {batch}.")
                if batch not in self._compiled:
                    # The binding lets go of Python's lock meanwhile: time for numba to get ready.
                    with jit_warming_up():
                        self._compiled[batch] = self._compile(batch)
                self._requests[batch, slot] = self._compiled[batch].create_infer_request()
            return self._requests[batch, slot]

    def _compile(self, batch: int | None) -> Any:
        ov = _openvino_model.imported()
        config = {
            **self._settings,
            "INFERENCE_NUM_THREADS": self._config.num_threads,
            "PERFORMANCE_HINT": "LATENCY" if self._config.num_streams == 1 else "THROUGHPUT",
            "NUM_STREAMS": self._config.num_streams,
        }
        key = files.sha256_text(repr((self._artifact.meaning, batch, config, ov.get_version(), *machine.cpu())))
        blob = cache.read_blob(key) if self._config.use_cache else None
        if blob is not None:
            # Another build of one version may refuse it; then it is compiled like one that was never cached.
            with contextlib.suppress(RuntimeError):
                return self._core.import_model(blob, "CPU", config)
        try:
            model = self._core.read_model(self._artifact.file(_FILE))
            compiled = self._core.compile_model(
                _openvino_model.with_sizes(ov, model, self._inputs, batch), "CPU", config
            )
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:  # shapes that no tensor has, too
            told = engine_words.reason(error)
            if "bad_alloc" in str(error):
                raise MemoryError(told) from None
            raise BadArtifactError(
                f"OpenVINO cannot use the model in {self._artifact.folder} ({told}). Build it again."
            ) from None
        if self._config.use_cache:
            cache.write_blob(key, compiled.export_model().getvalue())
        return compiled


def _read_back(compiled: Any) -> PrecisionRan:
    """Count the types of the compiled graph's convolutions and matrix products."""
    layers: Counter[str] = Counter()
    for operation in compiled.get_runtime_model().get_ops():
        info = operation.get_rt_info()
        if info["layerType"].astype(str) in _COUNTED:
            kind = info["runtimePrecision"].astype(str)
            layers[_TYPES.get(kind, kind)] += 1
    return PrecisionRan.from_counts(dict(layers), "OpenVINO runtime model")


BACKEND: Backend = OpenVinoBackend()
