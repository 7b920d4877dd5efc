"""Verifies an artifact: file hashes, engine version, precision that runs, and the stored test output."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from densecast.artifact import Artifact, CompiledArtifact, FloatArtifact, elsewhere, stored_answer
from densecast.backends._base import BACKENDS
from densecast.errors import BackendMissingError, BadArtifactError, UsageError
from densecast.runtime import execution, machine
from densecast.session import Session
from densecast.spec import limits
from densecast.spec.cpu import Cpu
from densecast.spec.precision import PrecisionRan
from densecast.verbs import other_cpu
from densecast.verbs.builder.compile_plan import built_spec


@dataclass(frozen=True, slots=True)
class Check:
    """One check; `told` describes its outcome.

    A "note" is not as it was when the model was built, and may be all right.
    """

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
        """Whether all checks passed."""
        return all(check.state != "failed" for check in self.checks)


def verify(folder: Artifact | Path | str, *, cpu: Cpu | None = None) -> Verification:
    """Check an artifact's files and engine, and run it once on the stored test input.

    With `cpu`, also predict whether CPUs of that kind compute the same, see `other_cpu.predict`.

    Raises:
        BadArtifactError: damaged: a file is missing or changed.
        BackendMissingError: its engine is not installed.
        UsageError: a kind of CPU that cannot be meant, or of an artifact that is not compiled.
    """
    start = time.perf_counter()
    folder = folder.folder if isinstance(folder, Artifact) else folder
    artifact = Artifact.open(folder)
    size_mb = sum(artifact.file(name).stat().st_size for name in artifact.manifest.files) / 1e6
    checks = [Check("files", "ok", f"{len(artifact.manifest.files)} files, {size_mb:.1f} MB, hashes as recorded")]
    if not isinstance(artifact, CompiledArtifact):
        if cpu is not None:
            raise UsageError("an exported artifact is for no CPU yet: name one that is built.", field="cpu")
        checks.append(_graph(artifact))
    else:
        checks += [*_source(artifact), _engine(artifact), _cpu(artifact), *_run(artifact, cpu)]
    return Verification(str(folder), tuple(checks), round(time.perf_counter() - start, 3))


def _graph(artifact: Artifact) -> Check:
    """Check a float artifact: its graph, and the recorded comparison with the framework."""
    import onnx

    onnx.checker.check_model(str(artifact.file("model.onnx")))
    parity = artifact.manifest.parity
    if parity is None:
        return Check("graph", "note", "valid ONNX; there was no framework to compare it with")
    return Check("graph", "ok", f"valid ONNX, {parity.relative_error:.1e} from the framework when it was exported")


def _source(artifact: CompiledArtifact) -> list[Check]:
    """Compare with the exported artifact beside it that it was built from; nothing where there is none.

    A manifest names that one's folder only: it may have been moved, or left behind.
    """
    manifest = artifact.manifest
    try:
        source = FloatArtifact.open(artifact.folder.absolute().parent / manifest.parent_name)
    except BadArtifactError:
        return []
    if source.spec.name != artifact.spec.name or not manifest.parent_name:
        return []
    if source.identity != manifest.parent:
        changed = "its network"
    elif built_spec(source.spec, manifest.build) != artifact.spec:
        changed = "its spec (labels, preprocessing, decoding or evaluation)"
    else:
        return [Check("source", "ok", f"{manifest.parent_name} beside it is what it was built from")]
    told = f"{manifest.parent_name} beside it has been exported again, and {changed} is another. Build from it again."
    return [Check("source", "note", told)]


def _engine(artifact: CompiledArtifact) -> Check:
    build = artifact.manifest.build
    backend = BACKENDS.load_trusted(build.backend)
    capabilities = backend.capabilities()
    if capabilities.missing:
        raise BackendMissingError(f"backend {build.backend!r}: {capabilities.missing}")
    before = artifact.manifest.machine.packages.get(backend.traits.package)
    now = machine.describe().packages.get(backend.traits.package)
    if before == now:
        return Check("engine", "ok", f"{build.backend} {now or capabilities.version}, as when it was built")
    return Check("engine", "note", f"{build.backend} {now}; it was built with {before}")


def _cpu(artifact: Artifact) -> Check:
    before, now = artifact.manifest.machine, machine.describe()
    if (before.cpu, before.cpu_flags) == (now.cpu, now.cpu_flags):
        return Check("CPU", "ok", now.cpu)
    lost = sorted(set(before.cpu_flags) - set(now.cpu_flags))
    without = f", without {' '.join(lost)}: other kernels, other speed" if lost else ""
    return Check("CPU", "note", f"{now.cpu}; it was built on {before.cpu}{without}")


def _run(artifact: CompiledArtifact, cpu: Cpu | None) -> list[Check]:
    """The checks that need the engine, which is loaded once."""
    with Session.open(artifact, execution.configure("latency"), check_cpu=False) as session:
        found = [_precision(artifact, session.precision), _golden(artifact, session)]
        if cpu is not None:
            there = other_cpu.predict(artifact, cpu, session.forward)
            found.append(Check(f"on {cpu}", "ok" if there.agrees else "failed", there.told))
        return found


def _precision(artifact: CompiledArtifact, now: PrecisionRan) -> Check:
    before, lacking = artifact.manifest.precision_ran, elsewhere.lacking(artifact.manifest)
    if before.compute == now.compute:
        return Check("precision", "ok", f"runs {now}")
    if now.compute == "float32" and {"bfloat16", "float16"} & set(lacking):
        return Check("precision", "note", f"runs {now}: this CPU has no {before.compute}, which it was built to run")
    return Check("precision", "failed", f"runs {now}; it was built to run {before}. Build it for this machine.")


def _golden(artifact: CompiledArtifact, session: Session) -> Check:
    difference = stored_answer.error(artifact, session.forward)
    if difference is None:
        return Check("answer", "note", "none is stored with it: build it again to have one")
    allowed = elsewhere.tolerance(artifact.manifest)
    outcome = f"{difference:.1e} from the stored output for the test image (at most {allowed:g})"
    if limits.is_at_most("answer", difference, allowed):
        return Check("answer", "ok", outcome)
    return Check(
        "answer", "failed", f"{outcome}: this machine computes something else. Build it here, or with --cpu any."
    )
