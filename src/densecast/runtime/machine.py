"""Describes the machine: usable CPUs (affinity and quota), instruction sets, memory, library versions."""

from __future__ import annotations

import functools
import math
import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from densecast.errors import BackendMissingError

# The instruction sets that decide how fast low-precision convolutions run.
NOTED_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_int8",
)
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
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        packages=versions(NOTED_PACKAGES),
    )


def cpu() -> tuple[str, tuple[str, ...]]:
    """The CPU's name and its relevant flags, from /proc/cpuinfo."""
    name, flags = platform.processor() or platform.machine(), set[str]()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() == "flags":
            flags = set(value.split())
            break
    return name, tuple(flag for flag in NOTED_FLAGS if flag in flags)


def has_wide_int8_sums() -> bool:
    """Whether int8 products accumulate in 32 bits, so that weights may use their whole range."""
    return bool({"avx512_vnni", "avx_vnni", "amx_int8"} & set(cpu()[1]))


def usable_cpus() -> int:
    """The number of CPUs this process may use: its affinity, limited by the cgroup quota (rounded up)."""
    affinity = len(os.sched_getaffinity(0))
    quota = cgroup_quota()
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def peak_rss_mb() -> float:
    """Peak memory of this process, in megabytes of 2**20 bytes.

    From `VmHWM`: `getrusage` counts what the parent held before it became this program, too.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise BackendMissingError("/proc/self/status has no VmHWM: peak memory is read on Linux only.")


def cgroup_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
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
    """The version as it was first asked for: what is imported does not change either, and looking it up takes 1 ms."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


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
