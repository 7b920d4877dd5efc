"""Describes the machine: usable CPUs (affinity and quota), instruction sets, memory, library versions."""

from __future__ import annotations

import functools
import math
import os
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from densecast.errors import BackendMissingError
from densecast.io import system
from densecast.runtime import cpuid
from densecast.spec import cpu as cpus
from densecast.spec.cpu import Ability, Cpu

# The instruction sets that decide what low-precision layers compute, and how fast. Linux's names.
NOTED_FLAGS = (
    *("avx2", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_bf16", "amx_int8", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "sve", "i8mm", "bf16"),
)
# What oneDNN, and OpenVINO with it, may use at most, by the value of its variable; in no order.
_CAP_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_AVX2_MOST = frozenset({"avx2"})
_AVX512_MOST = _AVX2_MOST | {"avx512f", "avx512bw"}
_VNNI_MOST = _AVX512_MOST | {"avx512_vnni", "avx_vnni"}
_CAPS = {
    "SSE41": frozenset[str](),
    "AVX": frozenset[str](),
    "AVX2": _AVX2_MOST,
    "AVX2_VNNI": _AVX2_MOST | {"avx_vnni"},
    "AVX2_VNNI_2": _AVX2_MOST | {"avx_vnni"},
    "AVX512_CORE": _AVX512_MOST,
    "AVX512_CORE_VNNI": _VNNI_MOST,
    "AVX512_CORE_BF16": _VNNI_MOST | {"avx512_bf16"},
    "AVX512_CORE_FP16": _VNNI_MOST | {"avx512_bf16", "avx512_fp16"},
    "AVX10_1_512": _VNNI_MOST | {"avx512_bf16", "avx512_fp16"},
}
NOTED_PACKAGES = (
    "densecast",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "torch",
    "opencv-python-headless",
    "pillow",
    "numba",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine properties that a measurement depends on."""

    cpu: str
    usable_cpus: int
    logical_cpus: int
    cpu_flags: tuple[str, ...]
    memory_gib: float
    system: str
    python: str
    packages: dict[str, str]


def describe() -> Machine:
    """Describe this machine."""
    name, flags = cpu()
    return Machine(
        cpu=name,
        usable_cpus=usable_cpus(),
        logical_cpus=os.cpu_count() or 1,
        cpu_flags=flags,
        memory_gib=round((system.memory_bytes() or 0) / 2**30, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        packages=versions(NOTED_PACKAGES),
    )


def cpu() -> tuple[str, tuple[str, ...]]:
    """The CPU's name and its relevant instruction sets, as engines of this process may use them.

    The CPU itself is asked, and `/proc/cpuinfo` where it does not answer. What `ONEDNN_MAX_CPU_ISA` keeps from OpenVINO
    does not count: what is compiled and computed then is another CPU's.
    """
    name, flags = _cpu()
    most = next((_CAPS.get(os.environ[name].upper()) for name in _CAP_VARIABLES if os.environ.get(name)), None)
    return name, flags if most is None else tuple(flag for flag in flags if flag in most)


def kinds() -> tuple[Cpu, ...]:
    """The targets of builds that this CPU can run, the most able first; empty for one that is too old."""
    return cpus.kinds(cpu()[1])


def able() -> frozenset[Ability]:
    """What this CPU computes natively, of what numbers of builds depend on."""
    return cpus.able(cpu()[1])


def too_old() -> str | None:
    """Why the engines' builds do not run on this CPU; None where they do."""
    name, flags = cpu()
    if platform.machine() not in ("x86_64", "AMD64") or "avx2" in flags:
        return None
    return f"{name} has no AVX2, from which on (Intel Haswell, AMD Zen) what is computed on x86 is tested"


@functools.cache
def _cpu() -> tuple[str, tuple[str, ...]]:
    name, flags = cpuid.name(), cpuid.flags()
    if name is None or flags is None:
        shown_name, shown_flags = _cpuinfo()
        name, flags = name or shown_name, shown_flags if flags is None else flags
    return name, tuple(flag for flag in NOTED_FLAGS if flag in flags)


def _cpuinfo(path: Path = system.PROC / "cpuinfo") -> tuple[str, frozenset[str]]:
    """The CPU's name and all its flags by the kernel's list; of ARM's, which have no names, the part numbers."""
    name, flags, part = platform.processor() or platform.machine(), frozenset[str](), list[str]()
    try:
        lines = path.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, value = (each.strip() for each in line.partition(":")[::2])
        if key == "model name":
            name = value
        elif key in ("CPU implementer", "CPU part") and len(part) < 2:
            part.append(value)
        elif key in ("flags", "Features") and not flags:
            flags = frozenset(value.split())
    return (f"{platform.machine()} {' '.join(part)}" if part else name), flags


def usable_cpus() -> int:
    """The number of CPUs this process may use: its affinity, limited by the cgroup quota (rounded up)."""
    affinity = len(system.usable_cpus())
    quota = cgroup_quota()
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def peak_rss_mb() -> float:
    """Peak memory of this process, in megabytes of 2**20 bytes.

    Raises:
        BackendMissingError: the system does not say.
    """
    peak = system.peak_bytes()
    if peak is None:
        raise BackendMissingError("this system does not say how much memory a process has held at most.")
    return peak / 2**20


def cgroup_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = system.PROC / "self" / "cgroup") -> float | None:
    """The cgroup's CPU quota in CPUs; None without a limit.

    Reads `cpu.max` (version 2) or `cpu.cfs_quota_us` (version 1) of the process's group and of all groups
    above it; the tightest counts.
    """
    limits = [limit for folder in _group_folders(root, own) if (limit := _quota_of(folder)) is not None]
    return min(limits, default=None)


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of installed packages; packages that are not installed are left out."""
    found = {name: _version(name) for name in packages}
    return {name: version for name, version in found.items() if version is not None}


@functools.cache
def _version(package: str) -> str | None:
    """The version as it was first asked for: what is imported does not change either.

    Of the package's metadata only the lines before the empty one are read: after it comes a whole README, and the
    library's own look-up parses all of it, in every process anew.
    """
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return None
    fields = (distribution.read_text("METADATA") or "").partition("\n\n")[0]
    found = re.search(r"^Version: *(\S+)$", fields, re.MULTILINE)
    return found[1] if found else distribution.version


def _group_folders(root: Path, own: Path) -> list[Path]:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    folders = [root, root / "cpu"]
    for line in lines:
        _, controllers, group = line.split(":", 2)
        base = root / "cpu" if "cpu" in controllers.split(",") else root
        parts = Path(group.lstrip("/")).parts
        folders += [base.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return folders


def _quota_of(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
            return None if quota == "max" else int(quota) / int(period)
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        return None if quota_us <= 0 else quota_us / int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
