"""Reports what this machine and installation support, and what to install for the rest."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from densecast.backends._base import BACKENDS, Capabilities
from densecast.errors import install_line
from densecast.runtime import confinement, machine
from densecast.runtime.machine import Machine

_EXTRAS = {
    "torch": ("export of checkpoints and TorchScript, the torch backend", ("torch", "safetensors")),
    "quantize": ("int8", ("nncf",)),
    "tensorflow": ("import of TensorFlow graphs", ("tensorflow", "tf2onnx")),
    "report": ("report.html", ("jinja2",)),
    "coco": ("pose evaluation", ("pycocotools",)),
    "store": ("records of every image (--store)", ("pyarrow",)),
    "remote": ("stores, models and images behind URLs", ("fsspec",)),
    "ray": ("many machines (--on ray)", ("ray", "pyarrow")),
    "grpc": ("serving over gRPC", ("grpc",)),
    "serve": ("serving over HTTP", ("starlette", "uvicorn", "prometheus_client")),
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The machine, the targets of builds it can run, and what is installed.

    That is the confinement of foreign files, every backend's capabilities, and what each extra lacks.
    """

    machine: Machine
    cpu_targets: tuple[str, ...]
    cgroup_quota_cpus: float | None
    confinement: str
    backends: dict[str, Capabilities]
    extras: dict[str, tuple[str, ...]]


def examine() -> Diagnosis:
    """Examine the machine and installation; a broken engine is a finding, not an error."""
    return Diagnosis(
        machine.describe(),
        machine.kinds(),
        machine.cgroup_quota(),
        confinement.describe(),
        {name: BACKENDS.load(name).capabilities() for name in BACKENDS.names()},
        {
            extra: tuple(name for name in modules if importlib.util.find_spec(name) is None)
            for extra, (_, modules) in _EXTRAS.items()
        },
    )


def _targets(targets: tuple[str, ...]) -> str:
    if not targets:
        return "too old for the engines: x86 needs AVX2"
    return f"runs builds for --cpu {', '.join(targets)} and any; native is {targets[0]}"


def describe(diagnosis: Diagnosis) -> str:
    """Format the findings as text."""
    here = diagnosis.machine
    quota = "no quota" if diagnosis.cgroup_quota_cpus is None else f"quota {diagnosis.cgroup_quota_cpus:g}"
    lines = [
        f"CPU       {here.cpu}",
        f"          {here.usable_cpus} usable of {here.logical_cpus} (affinity and control group: {quota})",
        f"          {' '.join(here.cpu_flags) or 'none of the noted instruction sets'}",
        f"          {_targets(diagnosis.cpu_targets)}",
        f"memory    {here.memory_gib} GiB",
        f"system    {here.system}, Python {here.python}",
        f"foreign   model files are confined. {diagnosis.confinement}",
    ]
    for name, backend in diagnosis.backends.items():
        if backend.missing:
            lines.append(f"backend   {name}: missing. {backend.missing}")
            continue
        lines.append(
            f"backend   {name} {backend.version}: {', '.join(backend.devices)}; {', '.join(backend.precisions)}"
        )
        lines += [f"          {note}" for note in backend.notes]
    missing = [extra for extra, lacking in diagnosis.extras.items() if lacking]
    for extra, lacking in diagnosis.extras.items():
        what = _EXTRAS[extra][0]
        state = f"lacks {', '.join(lacking)}: {install_line([extra])}" if lacking else "installed"
        lines.append(f"extra     [{extra}] {what}: {state}")
    if len(missing) > 1:
        lines.append(f"          all of these: {install_line(missing)}")
    lines.append("versions  " + ", ".join(f"{name} {version}" for name, version in here.packages.items()))
    return "\n".join(lines)
