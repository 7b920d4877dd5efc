"""MagicMind backend for Cambricon MLUs: parse, calibrate, build, run. Not yet tested on hardware."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.backends._base import Backend, BuildJob, Built, Capabilities, Traits, refuse_several_tensors
from densecast.backends._magicmind_calibration import calibration_data
from densecast.backends._vendor_runner import VendorRunner
from densecast.errors import BackendMissingError, BadGraphError, DeviceError, UsageError
from densecast.io.vendor_formats import builder_config
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.precision import PRECISIONS, PrecisionRan
from densecast.spec.tensor import Feeds, check_feeds

DEVICES = ("mlu",)
_FILE = "model.mm"
_LOOK_AT = "Look at `cnmon` and at what MagicMind has logged; a model runs on the chip and version it was built for."
_NOTE = "not run on hardware: tested against the recorded contract of MagicMind's Python runtime"


class MagicMindBackend:
    """Backend for Cambricon's cards."""

    traits = Traits("magicmind", device_kinds=DEVICES)

    def capabilities(self) -> Capabilities:
        """Check for MagicMind's Python package, which comes with Cambricon's docker image."""
        if importlib.util.find_spec("magicmind") is None:
            return Capabilities(
                "",
                (),
                (),
                missing="magicmind is not installed: it is in Cambricon's docker image. `densecast handoff` needs none",
            )
        return Capabilities("unknown", DEVICES, PRECISIONS, (_NOTE,))

    def build(self, job: BuildJob, folder: Path) -> Built:
        """Parse the graph, calibrate it for int8, build and serialise it, each step's status checked.

        Raises:
            BackendMissingError: no MagicMind, or no device to calibrate on.
            DeviceError: that device cannot be used.
            UsageError: open sizes.
            BadGraphError: a step of MagicMind fails.
        """
        refuse_several_tensors(job.spec)
        spec = job.spec.input
        if not spec.is_static:
            raise UsageError(
                f"{spec} was requested; this backend builds one shape. Pass one --batch, --height and --width."
            )
        mm, parsers = _runtime(), _runtime(".parser")
        network = mm.Network()
        parser = parsers.Parser(mm.ModelKind.kOnnx)
        _ok(parser.parse(network, str(job.graph)), "parse")
        sizes = [int(size) for size in spec.shape if isinstance(size, int)]
        _ok(network.get_input(0).set_dimension(mm.Dims(sizes)), "set_dimension")
        config = mm.BuilderConfig()
        plain = builder_config(spec, job.options.precision, [(sizes[2], sizes[3])])
        _ok(config.parse_from_string(json.dumps(plain)), "parse_from_string")
        if job.options.precision == "qint8_mixed_float16":
            _calibrate(mm, network, config, job)
        model = mm.Builder().build_model(job.spec.name, network, config)
        if model is None:
            raise BadGraphError("MagicMind's build_model gave no model.")
        _ok(model.serialize_to_file(str(folder / _FILE)), "serialize_to_file")
        mode = job.options.precision
        ran = PrecisionRan("unknown", {}, f"MagicMind precision_mode={mode}; its layers' types are not read back")
        return Built(ran, settings={"precision_mode": mode, "hardware": "not run on hardware"})

    def load(self, artifact: CompiledArtifact, config: ExecutionConfig) -> MagicMindRunner:
        """Load the model onto the device that the config names, `mlu:<number>`; by default the first.

        Raises:
            BackendMissingError: no MagicMind, or no such device.
            DeviceError: the device does not take the model.
        """
        return MagicMindRunner(artifact, config)


class MagicMindRunner(VendorRunner):
    """Runner with one context and queue on one device."""

    def __init__(self, artifact: CompiledArtifact, config: ExecutionConfig) -> None:
        super().__init__(artifact)
        mm = _runtime()
        number = _number(config.device)
        self._model = mm.Model()
        _done("deserialize_from_file", self._model.deserialize_from_file, str(artifact.file(_FILE)))
        self._system = mm.System()
        self._system.__enter__()
        try:
            self._device = _active(mm, self._system, number)
            engine_config = mm.Model.EngineConfig()
            engine_config.device_type = "MLU"
            self._engine = _made("create_i_engine", self._model.create_i_engine, engine_config)
            self._context = _made("create_i_context", self._engine.create_i_context)
            self._queue = _made("create_queue", self._device.create_queue)
            self._inputs = _made("create_inputs", self._context.create_inputs)
        except BaseException:  # whatever it was, the device is let go, and it goes on
            self._system.__exit__(None, None, None)
            raise

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        """Run one inference; returns new arrays.

        Raises:
            BadShapeError: feeds that do not fit `input`.
            DeviceError: the device fails, or gives another number of outputs.
        """
        check_feeds((self._input,), feeds)
        self._inputs[0].from_numpy(np.ascontiguousarray(feeds[self._input.name]))
        _done("to", self._inputs[0].to, self._device)
        outputs: list[Any] = []
        _done("enqueue", self._context.enqueue, self._inputs, outputs, self._queue)
        _done("sync", self._queue.sync)
        if len(outputs) != 1:
            raise DeviceError(
                f"the device gave {len(outputs)} outputs, and the network has one. "
                "The .mm file is that of another model: build it again."
            )
        return {self._output.name: np.asarray(outputs[0].asnumpy())}

    def close(self) -> None:
        """Free all resources, in reverse order of creation."""
        del self._inputs, self._context, self._engine, self._model, self._queue, self._device
        self._system.__exit__(None, None, None)


def _calibrate(mm: Any, network: Any, config: Any, job: BuildJob) -> None:
    """Calibrate by minimum and maximum; MagicMind runs the network on the device for it."""
    data = calibration_data(mm, job.calibration, job.spec.input)
    calibrator = mm.Calibrator([data])
    _ok(calibrator.set_quantization_algorithm(mm.QuantizationAlgorithm.LINEAR_ALGORITHM), "set_quantization_algorithm")
    with mm.System() as system:
        _active(mm, system, 0)
        _ok(calibrator.calibrate(network, config), "calibrate")


def _active(mm: Any, system: Any, number: int) -> Any:
    """Make device `number` the current one, and return it."""
    count = system.device_count()
    if number >= count:
        raise BackendMissingError(f"there is no device mlu:{number}; MagicMind sees {count}.")
    device = mm.Device()
    device.id = number
    _done("active", device.active)
    return device


def _ok(status: Any, step: str) -> None:
    """Raise on a build status that is not ok; calls without a status raise by themselves."""
    if status is not None and not status.ok():
        raise BadGraphError(f"MagicMind's {step} failed: {status}.")


def _done(step: str, call: Callable[..., Any], *given: Any) -> None:
    """Call a device function and check its status, if it returns one.

    Raises:
        DeviceError: anything else.
    """
    status = _called(step, call, *given)
    if status is not None and not status.ok():
        raise DeviceError.of(f"MagicMind's {step}", status, _LOOK_AT)


def _made(step: str, call: Callable[..., Any], *given: Any) -> Any:
    """Call a device function that creates an object, and return the object.

    Raises:
        DeviceError: it makes nothing, or raises.
    """
    made = _called(step, call, *given)
    if made is None:
        raise DeviceError.of(f"MagicMind's {step}", "it gave nothing", _LOOK_AT)
    return made


def _called(step: str, call: Callable[..., Any], *given: Any) -> Any:
    try:
        return call(*given)
    except Exception as error:  # the vendor's own kinds are not importable without its package
        raise DeviceError.of(f"MagicMind's {step}", error, _LOOK_AT) from None


def _runtime(module: str = "") -> Any:
    try:
        return importlib.import_module(f"magicmind.python.runtime{module}")
    except ImportError as error:
        raise BackendMissingError(f"MagicMind cannot be imported ({error}): use Cambricon's docker image.") from None


def _number(device: str) -> int:
    kind, _, number = (device or "mlu:0").partition(":")
    if kind not in DEVICES or not (number.isascii() and number.isdigit()):
        raise UsageError(f"--device {device!r} must be mlu:<number>, as mlu:0.")
    return int(number)


BACKEND: Backend = MagicMindBackend()
