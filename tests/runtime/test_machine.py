"""CPUs that may be kept busy, told from a made-up tree of control groups."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from densecast.io import codec
from densecast.runtime import machine


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


CASES: dict[str, tuple[str, dict[str, str], float | None]] = {
    "nothing mounted": ("0::/\n", {}, None),
    "v2, no limit": ("0::/\n", {"cpu.max": "max 100000\n"}, None),
    "v2, in the root": ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
    "v2, own group": ("0::/a/b\n", {"a/b/cpu.max": "200000 100000\n"}, 2.0),
    "v2, a group above is tighter": ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "400000 100000"}, 0.5),
    "v2, another's group does not count": ("0::/a\n", {"c/cpu.max": "50000 100000\n"}, None),
    "v1": (
        "5:cpu,cpuacct:/docker/x\n3:memory:/docker/x\n",
        {"cpu/docker/x/cpu.cfs_quota_us": "300000\n", "cpu/docker/x/cpu.cfs_period_us": "100000\n"},
        3.0,
    ),
    "v1, seen from inside": (
        "5:cpu,cpuacct:/docker/x\n",
        {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        2.5,
    ),
    "v1, no limit": ("5:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    "v1 beside v2": (
        "5:cpu:/x\n0::/y\n",
        {"cpu/x/cpu.cfs_quota_us": "100000", "cpu/x/cpu.cfs_period_us": "50000", "y/cpu.max": "max 100000"},
        2.0,
    ),
    "unreadable numbers": ("0::/\n", {"cpu.max": "many few\n"}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_quota_is_the_tightest_of_the_groups_above(name: str, tmp_path: Path) -> None:
    own, files, wanted = CASES[name]
    write(tmp_path / "cgroup", files)
    (tmp_path / "own").write_text(own)
    assert machine.cgroup_quota(tmp_path / "cgroup", tmp_path / "own") == wanted


def test_without_proc_the_root_counts(tmp_path: Path) -> None:
    write(tmp_path, {"cpu.max": "100000 100000"})
    assert machine.cgroup_quota(tmp_path, tmp_path / "absent") == 1.0


@pytest.mark.parametrize(("quota", "wanted"), [(None, 4), (0.2, 1), (1.5, 2), (2.0, 2), (64.0, 4)])
def test_usable_cpus_are_affinity_cut_by_the_quota_rounded_up(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, wanted: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3})
    monkeypatch.setattr(machine, "cgroup_quota", lambda: quota)
    assert machine.usable_cpus() == wanted


def test_this_machine_is_described_and_survives_json() -> None:
    here = machine.describe()
    assert 1 <= here.usable_cpus <= here.logical_cpus
    assert here.memory_gib > 0.1 and here.cpu and here.packages["numpy"]
    assert set(here.cpu_flags) <= set(machine.NOTED_FLAGS)
    assert codec.from_plain(json.loads(codec.to_json(here)), machine.Machine, "test") == here


def test_versions_leave_out_what_is_not_installed() -> None:
    assert set(machine.versions(("numpy", "no-such-package-anywhere"))) == {"numpy"}


def test_versions_are_those_that_the_libraries_state_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy
    import onnx

    assert machine.versions(("numpy", "onnx")) == {"numpy": numpy.__version__, "onnx": onnx.__version__}
    # As setuptools wrote it long ago, and with a README that speaks of another version.
    for folder, name in (("old_one-2.1.egg-info", "PKG-INFO"), ("new_one-3.dist-info", "METADATA")):
        (tmp_path / folder).mkdir()
        version = folder.split("-")[1].partition(".")[0] + ".0rc1"
        text = f"Metadata-Version: 2.1\nName: {folder[:7]}\nVersion: {version}\n\nVersion: 9\n"
        (tmp_path / folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert machine.versions(("old_one", "new_one")) == {"old_one": "2.0rc1", "new_one": "3.0rc1"}


def test_peak_memory_is_this_process_own_and_not_its_parents() -> None:
    """A child that starts small from a parent that once was large."""
    held = np.ones(200_000_000, np.uint8)
    assert machine.peak_rss_mb() > 190
    del held
    code = "from densecast.runtime import machine; print(machine.peak_rss_mb())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    # An interpreter and nothing else takes some 15 MB.
    assert 5 < float(done.stdout) < 100
