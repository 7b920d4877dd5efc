"""OpenVINO backend for the CPU; the default engine."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densecast.artifact import CompiledArtifact
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.backends import (
    _openvino_half_type,
    _openvino_listed,
    _openvino_model,
    _openvino_profile,
    _openvino_saturating,
    _openvino_trial,
)
from densecast.backends._base import (
    Backend,
    BuildJob,
    Built,
    Capabilities,
    Traits,
)
from densecast.backends._inspection import Inspector
from densecast.backends._openvino_inspector import OpenVinoInspector
from densecast.backends._openvino_int8 import OpenVinoQuantized
from densecast.backends._openvino_runner import OpenVinoRunner, precision_of
from densecast.backends._openvino_types import TYPES, counted
from densecast.errors import DensecastError
from densecast.io import files
from densecast.runtime import engine_words, machine
from densecast.runtime.execution import ExecutionConfig
from densecast.runtime.roofline import Roofline
from densecast.spec import cpu as cpus
from densecast.spec.layer import Layer
from densecast.spec.options import ActivationScheme, CalibrationMethod
from densecast.spec.precision import PRECISIONS, Precision
from densecast.spec.tensor import Feeds

if TYPE_CHECKING:
    # Calibrating brings compiled statistics along, which no other use has to wait for.
    from densecast.backends._nncf_calibrator import Calibrator
    from densecast.backends._openvino_calibrations import OpenVinoCalibrationTrials

_FILE = _openvino_profile.MODEL_FILE
_CANNOT, _CURE = "OpenVINO cannot build the graph", "Build with -b onnxruntime."


class OpenVinoBackend:
    """Backend for OpenVINO's CPU plug-in."""

    # NNCF can move biases so that quantised layers keep their mean outputs. TBB's threads do not survive a fork.
    traits = Traits(
        "openvino",
        calibration_methods=("mean_minmax", "minmax", "histogram", "percentile"),
        # A histogram's bins are those of all images before: what it ends with depends on their order.
        merged_methods=("mean_minmax", "minmax", "percentile"),
        corrects_biases=True,
        settles=True,
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
            from densecast.backends import _nncf

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
        from densecast.backends import _nncf

        # Calibration runs the network in float32, in this process.
        corrects = job.options.quantize.bias_correction != "none"
        model, placed = _tried_and_placed(job, corrects_biases=corrects)
        if job.options.quantize.bias_correction == "full":
            from densecast.backends import _nncf_trial

            _nncf_trial.check(job.graph, job.spec.inputs, job.options.quantize)
        with engine_words.as_ours(_CANNOT, _CURE):
            full_weights = cpus.takes_full_weights(job.options.cpu)
            int8, images = _nncf.quantize(
                model,
                job.calibration,
                job.options.quantize,
                full_weights=full_weights,
                placed=placed,
                seen=job.tried,
            )
            hint = _hint(int8, job, after_trials=True)

        def save(mixed: Any, folder: Path) -> Built:
            with engine_words.as_ours(_CANNOT, _CURE):
                return replace(_save(mixed, hint, job, folder), images=images)

        return OpenVinoQuantized(model, int8, hint.type, save)

    def calibration_trials(
        self, job: BuildJob, methods: Sequence[CalibrationMethod], *, with_biases: bool
    ) -> OpenVinoCalibrationTrials | None:
        """Run the float model once for the ranges of all methods; None where NNCF has to find each method's itself."""
        from densecast.backends import _openvino_calibrations
        from densecast.backends._openvino_calibrations import OpenVinoCalibrationTrials

        def checked_hint(int8: Any) -> str:
            """The 16-bit type beside int8, of a model that has been tried in a process of its own."""
            hint = _hint(int8, job)
            _openvino_calibrations.keep_half_type(job, hint.record)
            with tempfile.TemporaryDirectory() as folder:
                _write(int8, hint, job, Path(folder))
            return hint.type

        # Calibration runs the network in float32, in this process.
        model, placed = _tried_and_placed(job, corrects_biases=with_biases)
        if placed is None:
            return None
        _openvino_calibrations.keep(job, model, placed)
        with engine_words.as_ours(_CANNOT, _CURE):
            return OpenVinoCalibrationTrials(job, model, placed, methods, checked_hint, with_biases=with_biases)

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

    def profile(self, artifact: CompiledArtifact, config: ExecutionConfig, feeds: Feeds, runs: int) -> Roofline:
        """Time every operator of the artifact's model, beside what this machine reaches at most."""
        return _openvino_profile.profile(artifact, config, feeds, runs)

    def inspect(self, artifact: CompiledArtifact, config: ExecutionConfig, feed_shape: Sequence[int]) -> Inspector:
        """Open the artifact's model for inspection in its own precision."""
        settings = {**artifact.manifest.settings, "INFERENCE_NUM_THREADS": config.num_threads}
        return OpenVinoInspector(artifact.file(_FILE), feed_shape, settings)

    def layers(self, artifact: CompiledArtifact, shape: Sequence[int]) -> tuple[Layer, ...]:
        """The model's layers, compiled for inputs of one shape."""
        return _openvino_listed.layers(
            artifact.file(_FILE), artifact.spec.inputs, tuple(shape), artifact.manifest.settings, TYPES
        )


@dataclass(frozen=True, slots=True)
class _Hint:
    """The floating-point type for non-int8 layers, and how it was chosen if it was."""

    type: str
    record: HalfTypeRecord | None = None


def _tried_and_placed(job: BuildJob, *, corrects_biases: bool) -> tuple[Any, Calibrator | None]:
    """The job's model and its quantisers, once it has run in a process of its own as a calibration runs it.

    That process has one thread, as has placing the quantisers: they go on at the same time.
    """
    from densecast.backends import _openvino_calibrations

    with ThreadPoolExecutor(1) as pool:
        trial = pool.submit(
            _openvino_trial.check,
            job.graph,
            "f32",
            job.spec.inputs,
            calibrates=True,
            corrects_biases=corrects_biases,
        )
        try:
            with engine_words.as_ours(_CANNOT, _CURE):
                placed = _openvino_calibrations.placed(job)
        except DensecastError:
            trial.result()  # says more
            raise
        trial.result()
    return placed


def _hint(model: Any, job: BuildJob, *, after_trials: bool = False) -> _Hint:
    """The floating-point type; with `after_trials` that of the job's trials, if it had any."""
    if job.options.precision == "force_float32":
        return _Hint("f32")
    if job.options.half_type != "auto":
        return _Hint(job.options.half_type)
    if job.half_types == ():
        return _Hint("f32")
    if job.half_types and job.options.cpu not in machine.kinds():
        return _Hint(job.half_types[0])  # it cannot be timed here
    ov = _openvino_model.imported()

    def choose() -> HalfTypeRecord | None:
        return _openvino_half_type.choose(ov.Core(), model, job, ov.get_version())

    if after_trials:
        from densecast.backends import _openvino_calibrations

        record = _openvino_calibrations.half_type(job, choose)
    else:
        record = choose()
    return _Hint("f32") if record is None else _Hint(record.chosen, record)


def _write(model: Any, hint: _Hint, job: BuildJob, folder: Path) -> dict[str, int] | None:
    """Write a model that has run in a process of its own; returns its layers by type, None if none could be had."""
    ov = _openvino_model.imported()
    with files.written_by_library(folder, "OpenVINO's model"):
        ov.save_model(model, folder / _FILE, compress_to_fp16=False)
    return _openvino_trial.check(folder / _FILE, hint.type, job.spec.inputs)


def _save(model: Any, hint: _Hint, job: BuildJob, folder: Path) -> Built:
    settings = {"INFERENCE_PRECISION_HINT": hint.type}
    layers = _write(model, hint, job, folder)
    if layers is None:
        layers = counted(_openvino_model.imported().Core().compile_model(model, "CPU", settings))
    is_int8 = job.options.precision == "qint8_mixed_float16"
    needs = cpus.needs(job.options.cpu, is_int8=is_int8, half_type=hint.type)
    return Built(precision_of(layers), settings, half_type=hint.record, needs=needs)


BACKEND: Backend = OpenVinoBackend()
