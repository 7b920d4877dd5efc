"""ONNX Runtime backend: the CPU by default, other execution providers on request."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from densecast.artifact import CompiledArtifact
from densecast.backends import _ort_devices, _ort_int8, _ort_listed, _ort_trial
from densecast.backends._base import (
    Backend,
    BuildJob,
    Built,
    Capabilities,
    Traits,
    listed_batch_sizes,
)
from densecast.backends._inspection import Inspector
from densecast.backends._onnx_inspector import OnnxInspector
from densecast.errors import BackendMissingError, BadGraphError, BadShapeError
from densecast.io import cache, files
from densecast.kernels.jit_warm_up import jit_warming_up
from densecast.runtime import engine_words, machine
from densecast.runtime.execution import ExecutionConfig
from densecast.spec import cpu as cpus
from densecast.spec.layer import Layer
from densecast.spec.precision import PRECISIONS, PrecisionRan
from densecast.spec.tensor import Feeds, TensorSpec, check_feeds

_FILE = "model.onnx"
_CANNOT, _CURE = "ONNX Runtime cannot build the graph", "Build with -b openvino."


class OnnxRuntimeBackend:
    """Backend for ONNX Runtime's CPU kernels, or one of its other execution providers."""

    # Histograms keep whole activations, which do not fit into memory for large networks: not tried unasked.
    traits = Traits(
        "onnxruntime",
        device_kinds=_ort_devices.DEVICES,
        calibration_methods=("mean_minmax", "minmax"),
        settles=True,
        targets_cpus=True,
    )

    def capabilities(self) -> Capabilities:
        """Report ONNX Runtime's execution providers; builds run on the CPU's."""
        try:
            import onnxruntime
        except ImportError as error:
            return Capabilities(
                "", (), (), missing=f"onnxruntime cannot be imported ({error}): pip install onnxruntime"
            )
        providers = tuple(onnxruntime.get_available_providers())
        notes = ("its CPU kernels compute float16 graphs in float32: 16-bit saves disk, not time",)
        return Capabilities(onnxruntime.__version__, providers, PRECISIONS, notes)

    def build(self, job: BuildJob, folder: Path) -> Built:
        """Write the graph unchanged, in float16, or with Q/DQ pairs for int8."""
        import onnx

        if job.options.precision == "qint8_mixed_float16":
            return self.quantized(job).write(frozenset(), folder)
        model = onnx.load(job.graph)
        if job.options.precision == "force_float16":
            if job.options.half_type == "bf16":
                raise BackendMissingError("ONNX Runtime's CPU kernels have no bfloat16. Use --half-type f16 or auto.")
            model = to_float16(model)
        with engine_words.as_ours(_CANNOT, _CURE):
            return _save(model, job, folder)

    def quantized(self, job: BuildJob) -> OnnxRuntimeQuantized:
        """Defer calibration until the first mixed-precision model is written."""
        return OnnxRuntimeQuantized(job)

    def load(self, artifact: CompiledArtifact, config: ExecutionConfig) -> OnnxRuntimeRunner:
        """Load the artifact into a session."""
        return OnnxRuntimeRunner(artifact, config)

    def inspect(self, artifact: CompiledArtifact, config: ExecutionConfig, feed_shape: Sequence[int]) -> Inspector:
        """Open the artifact's graph for inspection; layers are fused where no tensor is requested."""
        import onnx

        return OnnxInspector(onnx.load(artifact.file(_FILE)), feed_shape, config.num_threads)

    def layers(self, artifact: CompiledArtifact, shape: Sequence[int]) -> tuple[Layer, ...]:
        """The graph's layers, each with the number type that it runs in."""
        import onnx

        _onnxruntime()
        optimised = onnx.load_from_string(_optimise(artifact.file(_FILE), 1))
        graph = onnx.load(artifact.file(_FILE))
        return _ort_listed.layers(graph, optimised, artifact.spec.inputs, shape)


class OnnxRuntimeQuantized:
    """Int8 models with any layers excluded, from one calibration."""

    def __init__(self, job: BuildJob) -> None:
        self._job = job
        self._ranges: _ort_int8.Ranges | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """Convolutions and matrix products by their nodes' names."""
        return _ort_int8.layers(self._job.graph, self._job.options.quantize)

    def cost_ms(self) -> dict[str, float]:
        """Nothing: ONNX Runtime fuses across layers, so their times do not add up."""
        return {}

    def write(self, excluded: frozenset[str], folder: Path) -> Built:
        """Save and optimise with the nodes `excluded` in float32, the type that these kernels use for 16 bits."""
        job = self._job
        if self._ranges is None:
            _ort_trial.check(job.graph, job.spec.inputs, "run for calibration")
        with engine_words.as_ours(_CANNOT, _CURE):
            model, self._ranges = _ort_int8.quantize(
                job.graph,
                job.calibration,
                job.options.quantize,
                excluded,
                self._ranges,
                full_weights=cpus.takes_full_weights(job.options.cpu),
            )
            # Its kernels compute 16-bit types in float32, wherever they run.
            needs = cpus.needs(job.options.cpu, is_int8=True, half_type="f32")
            return replace(_save(model, job, folder), needs=needs, images=self._ranges.images)


def _save(model: Any, job: BuildJob, folder: Path) -> Built:
    import onnx

    onnx.save(model, folder / _FILE)
    _ort_trial.check(folder / _FILE, job.spec.inputs, "compiled")
    optimised = _optimise(folder / _FILE, machine.usable_cpus())
    return Built(_ort_listed.read_back(onnx.load_from_string(optimised)))


class OnnxRuntimeRunner:
    """Runner of one session, which accepts every batch size within the artifact's input.

    Concurrent calls of a session are ONNX Runtime's own way of running several inferences at a time: each computes
    in its caller's thread and, where a stream has several threads, in the pool that all share.
    """

    reuses_buffers = False

    def __init__(self, artifact: CompiledArtifact, config: ExecutionConfig) -> None:
        import onnx

        ort = _onnxruntime()
        build = artifact.manifest.build
        self._batch_sizes = listed_batch_sizes(build)
        self._inputs, self._outputs, self._streams = artifact.spec.inputs, artifact.spec.outputs, config.num_streams
        if config.device and _ort_devices.parse(config.device)[0] != _ort_devices.CPU:
            self._precision = replace(
                _ort_listed.read_back(onnx.load(artifact.file(_FILE))),
                source=f"types of the graph given to {config.device}",
            )
            model, options = str(artifact.file(_FILE)), _session_options(config.num_threads // config.num_streams)
            self._session = _ort_devices.session(ort, model, options, config.device, build.precision)
            return
        key = files.sha256_text(repr((artifact.meaning, ort.__version__, *machine.cpu())))
        optimised = cache.read_blob(key) if config.use_cache else None
        if optimised is None:
            optimised = _optimise(artifact.file(_FILE), config.num_threads)
            if config.use_cache:
                cache.write_blob(key, optimised)
        self._precision = _ort_listed.read_back(onnx.load_from_string(optimised))
        options = _session_options(config.num_threads // config.num_streams)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Meanwhile there is time for numba to get ready.
        with jit_warming_up():
            self._session = ort.InferenceSession(optimised, options, providers=["CPUExecutionProvider"])

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The artifact's specs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The artifact's specs."""
        return self._outputs

    @property
    def max_concurrency(self) -> int:
        """The number of streams that its threads were divided among."""
        return self._streams

    @property
    def batch_sizes(self) -> tuple[int, ...] | None:
        """The listed batch sizes; None for a range."""
        return self._batch_sizes

    @property
    def precision(self) -> PrecisionRan:
        """The precision, counted over the optimised graph's operators."""
        return self._precision

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        """Run one inference; returns new arrays."""
        check_feeds(self._inputs, feeds)
        batch = feeds[self._inputs[0].name].shape[0]
        if self._batch_sizes and batch not in self._batch_sizes:
            raise BadShapeError(f"this artifact was built for batches of {self._batch_sizes}, got {batch}.")
        names = [output.name for output in self._outputs]
        return dict(zip(names, self._session.run(names, feeds), strict=True))

    def close(self) -> None:
        """Release the session."""
        del self._session


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendMissingError(f"ONNX Runtime cannot be imported ({error}): pip install onnxruntime.") from None
    return onnxruntime


def _session_options(threads: int) -> Any:
    options = _onnxruntime().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if "wide_int8_sums" not in machine.able():
        # Signed weights become unsigned ones, whose products are summed in 32 bits: slower, and the same as elsewhere.
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 4  # what fails is said by an error of ours
    return options


def _optimise(path: Path, threads: int) -> bytes:
    """The graph after ONNX Runtime's own optimisations for this CPU."""
    ort = _onnxruntime()
    options = _session_options(threads)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(target)
        try:
            ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises several unrelated kinds
            with files.written_by_library(Path(folder), "ONNX Runtime's optimised graph"):
                _refuse_unless_it_loads(ort, path, threads, error)
                raise
        return target.read_bytes()


def _refuse_unless_it_loads(ort: Any, path: Path, threads: int, error: Exception) -> None:
    """Tell a graph that cannot be used from one that could not be written: only the first fails without a file.

    Raises:
        BadGraphError: it cannot be used.
    """
    try:
        ort.InferenceSession(str(path), _session_options(threads), providers=["CPUExecutionProvider"])
    except Exception:
        raise BadGraphError(f"ONNX Runtime cannot use the graph ({engine_words.reason(error)}).") from None


def to_float16(model: Any) -> Any:
    """Convert weights and activations to float16; inputs and outputs stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every weight below float16's smallest normal number
        halves = convert_float_to_float16(model, keep_io_types=True)
    # It casts a constant that several nodes read alike once for each, under one name, which ONNX Runtime refuses.
    defined: set[str] = set()
    for node in list(halves.graph.node):
        if node.op_type == "Cast" and node.output[0] in defined:
            halves.graph.node.remove(node)
        defined.update(node.output)
    return halves


BACKEND: Backend = OnnxRuntimeBackend()
