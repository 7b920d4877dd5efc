"""Artifact  ->  whether its files, engine, precision and answers are still those it was built with."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from densecast import plugins
from densecast.artifact import Artifact
from densecast.backends._base import Runner
from densecast.errors import BackendMissingError
from densecast.runtime import execution, machine
from densecast.spec import limits
from densecast.spec.precision import PrecisionRan
from densecast.verbs.builder import golden

# The package whose version decides what an engine computes.
_PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "torch": "torch", "reference": "onnx"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. A "note" is not as it was when the model was built, and may be all right."""

    name: str
    state: Literal["ok", "note", "failed"]
    told: str


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks of one artifact."""

    artifact: str
    checks: tuple[Check, ...]
    seconds: float

    @property
    def is_sound(self) -> bool:
        """Whether nothing failed."""
        return all(check.state != "failed" for check in self.checks)


def verify(folder: Path) -> Verification:
    """Look an artifact over, and run it once on the picture whose answer it keeps.

    Raises:
        BadArtifactError: damaged: a file is missing or changed.
        BackendMissingError: its engine is not installed.
    """
    start = time.perf_counter()
    artifact = Artifact.open(folder)
    size_mb = sum(artifact.file(name).stat().st_size for name in artifact.manifest.files) / 1e6
    checks = [Check("files", "ok", f"{len(artifact.manifest.files)} files, {size_mb:.1f} MB, hashes as recorded")]
    if artifact.manifest.build is None:
        checks.append(_graph(artifact))
    else:
        checks += [_engine(artifact), _cpu(artifact), *_run(artifact)]
    return Verification(str(folder), tuple(checks), round(time.perf_counter() - start, 3))


def _graph(artifact: Artifact) -> Check:
    """A float artifact holds a graph that the framework was compared with."""
    import onnx

    onnx.checker.check_model(str(artifact.file("model.onnx")))
    parity = artifact.manifest.parity
    if parity is None:
        return Check("graph", "note", "valid ONNX; there was no framework to compare it with")
    return Check("graph", "ok", f"valid ONNX, {parity.relative_error:.1e} from the framework when it was exported")


def _engine(artifact: Artifact) -> Check:
    build = artifact.manifest.build
    assert build is not None
    abilities = plugins.load("backends", build.backend).capabilities()
    if abilities.missing:
        raise BackendMissingError(f"backend {build.backend!r}: {abilities.missing}")
    package = _PACKAGES.get(build.backend, build.backend)
    before = artifact.manifest.machine.packages.get(package)
    now = machine.describe().packages.get(package)
    if before == now:
        return Check("engine", "ok", f"{build.backend} {now or abilities.version}, as when it was built")
    return Check("engine", "note", f"{build.backend} {now}; it was built with {before}")


def _cpu(artifact: Artifact) -> Check:
    before, now = artifact.manifest.machine, machine.describe()
    if (before.cpu, before.cpu_flags) == (now.cpu, now.cpu_flags):
        return Check("CPU", "ok", now.cpu)
    lost = sorted(set(before.cpu_flags) - set(now.cpu_flags))
    without = f", without {' '.join(lost)}: other kernels, other speed" if lost else ""
    return Check("CPU", "note", f"{now.cpu}; it was built on {before.cpu}{without}")


def _run(artifact: Artifact) -> list[Check]:
    """What needs the engine, which is loaded once."""
    build = artifact.manifest.build
    assert build is not None
    runner: Runner = plugins.load("backends", build.backend).load(artifact, execution.configure("latency"))
    try:
        return [_precision(artifact, runner.precision), _golden(artifact, runner)]
    finally:
        runner.close()


def _precision(artifact: Artifact, now: PrecisionRan) -> Check:
    before = artifact.manifest.precision_ran
    if before is None or before.compute == now.compute:
        return Check("precision", "ok", f"runs {now}")
    return Check("precision", "failed", f"runs {now}; it was built to run {before}. Build it for this machine.")


def _golden(artifact: Artifact, runner: Runner) -> Check:
    options = artifact.manifest.build
    assert options is not None
    apart = golden.error(artifact, runner)
    if apart is None:
        return Check("answer", "note", "none is stored with it: build it again to have one")
    allowed = golden.TOLERANCE[options.precision]
    told = f"{apart:.1e} from the stored answer to the test picture (at most {allowed:g})"
    if limits.is_at_most("answer", apart, allowed):
        return Check("answer", "ok", told)
    return Check("answer", "failed", f"{told}: this machine computes something else. Build it here.")
