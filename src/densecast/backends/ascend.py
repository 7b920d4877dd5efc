"""Ascend backend: compiles with `atc`, runs with ais_bench's `InferSession`. Not yet tested on hardware."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.backends._base import Backend, BuildJob, Built, Capabilities, Traits, refuse_several_tensors
from densecast.backends._vendor_runner import VendorRunner
from densecast.errors import BackendMissingError, BadArtifactError, BadGraphError, DeviceError, UsageError
from densecast.graph import lower_opset
from densecast.io import vendor_formats
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Feeds, check_feeds

CHIP_VARIABLE = "DENSECAST_ASCEND_SOC"
DEVICES = ("npu",)
_FILE = "model.om"
_LOOK_AT = "Look at `npu-smi info` and at the device's log in ~/ascend/log, which explain the number."
_NOTE = "not run on hardware: tested against the recorded contract of atc and ais_bench"


class AscendBackend:
    """Backend for Ascend's chips."""

    traits = Traits("ais_bench", device_kinds=DEVICES)

    def capabilities(self) -> Capabilities:
        """Check for `atc` (compiles) and ais_bench (runs); reports which of the two is missing."""
        if importlib.util.find_spec("ais_bench") is None:
            return Capabilities(
                "",
                (),
                (),
                missing="ais_bench is not installed: it comes with Ascend's msit. `densecast handoff` needs none of it",
            )
        notes = (_NOTE,) if shutil.which("atc") else (_NOTE, "no atc on PATH: models can be run, not compiled")
        return Capabilities(_version(), DEVICES, ("force_float32", "force_float16"), notes)

    def build(self, job: BuildJob, folder: Path) -> Built:
        """Compile one `.om` file for one batch size and one input size.

        Raises:
            BackendMissingError: no `atc`, or nothing names the chip.
            UsageError: several sizes.
            BadGraphError: `atc` does not compile the network.
        """
        import onnx

        refuse_several_tensors(job.spec)
        spec = job.spec.input
        if not spec.is_static:
            raise UsageError(
                f"an .om file has one shape, and {spec} was requested. Pass one --batch, --height and --width."
            )
        program, soc = shutil.which("atc"), os.environ.get(CHIP_VARIABLE)
        if program is None:
            raise BackendMissingError("`atc` is not on PATH: source CANN's set_env.sh first.")
        if not soc:
            raise BackendMissingError(
                f"set ${CHIP_VARIABLE} to the chip as atc names it, as Ascend310P3 (`npu-smi info`)."
            )
        lowered = lower_opset.apply(onnx.load(job.graph)).model
        graph = folder / "atc.onnx"
        onnx.save(lowered, graph)
        height, width = spec.shape[2:]
        assert isinstance(height, int) and isinstance(width, int)
        output = folder / Path(_FILE).stem
        given = vendor_formats.arguments(str(graph), str(output), spec, job.options.precision, soc, [(height, width)])
        done = subprocess.run([program, *given], capture_output=True, text=True, check=False, errors="replace")
        graph.unlink()
        if done.returncode != 0 or not (folder / _FILE).is_file():
            said = (done.stdout + done.stderr).strip().splitlines() or ["it said nothing"]
            raise BadGraphError(f"atc ended with {done.returncode} and no .om file: {said[-1]}")
        mode = vendor_formats.PRECISION_MODES[job.options.precision]
        ran = PrecisionRan("unknown", {}, f"atc --precision_mode={mode}; an .om file does not tell its layers' types")
        return Built(ran, settings={"soc_version": soc, "precision_mode": mode, "hardware": "not run on hardware"})

    def load(self, artifact: CompiledArtifact, config: ExecutionConfig) -> AscendRunner:
        """Load the model onto the device that the config names, `npu:<number>`; by default the first.

        Raises:
            BackendMissingError: no ais_bench.
            DeviceError: the device does not load the model.
            BadArtifactError: another model than the manifest's.
        """
        return AscendRunner(artifact, config)


class AscendRunner(VendorRunner):
    """Runner of one session on one device."""

    def __init__(self, artifact: CompiledArtifact, config: ExecutionConfig) -> None:
        super().__init__(artifact)
        self._interface = _interface()
        try:
            self._session = self._interface.InferSession(_number(config.device), str(artifact.file(_FILE)))
        except Exception as error:  # ais_bench raises plain RuntimeError, whatever has failed
            raise DeviceError.of(f"ais_bench's InferSession({artifact.file(_FILE)})", error, _LOOK_AT) from None
        self._check_signature(artifact)

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        """Run one inference; returns new arrays.

        Raises:
            BadShapeError: feeds that do not fit `input`.
            DeviceError: the device fails, or gives something else than the network's output.
        """
        check_feeds((self._input,), feeds)
        array = np.ascontiguousarray(feeds[self._input.name])
        try:
            outputs = self._session.infer([array], mode="static")
        except Exception as error:  # plain RuntimeError again
            raise DeviceError.of("ais_bench's infer", error, _LOOK_AT) from None
        if len(outputs) != 1 or outputs[0].shape[0] != array.shape[0] or outputs[0].dtype != self._output.dtype:
            got = [f"{each.dtype} {each.shape}" for each in outputs]
            raise DeviceError(
                f"the device gave {got}, and the network has one output, {self._output}. "
                "The .om file is that of another model: build it again."
            )
        return {self._output.name: outputs[0]}

    def close(self) -> None:
        """Free the model's memory on the device."""
        self._session.free_resource()
        del self._session

    def _check_signature(self, artifact: CompiledArtifact) -> None:
        inputs = self._session.get_inputs()
        shape = tuple(inputs[0].shape) if len(inputs) == 1 else ()
        if shape != self._input.shape:
            self.close()
            raise BadArtifactError(
                f"{artifact.folder}: the device's model takes {shape}, the manifest says {self._input}."
            )


def _interface() -> Any:
    try:
        interface = importlib.import_module("ais_bench.infer.interface")
    except ImportError as error:
        raise BackendMissingError(f"ais_bench cannot be imported ({error}): it comes with Ascend's msit.") from None
    return interface


def _number(device: str) -> int:
    kind, _, number = (device or "npu:0").partition(":")
    if kind not in DEVICES or not (number.isascii() and number.isdigit()):
        raise UsageError(f"--device {device!r} must be npu:<number>, as npu:0.")
    return int(number)


def _version() -> str:
    try:
        return metadata.version("ais_bench")
    except metadata.PackageNotFoundError:
        return "unknown"


BACKEND: Backend = AscendBackend()
