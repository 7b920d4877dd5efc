"""The wheel of this source, and environments in which it alone is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> Path:
    """The wheel, by pip and the build back end that pyproject.toml names."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT],
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip(f"NO hatchling to be had: the wheel is NOT BUILT ({done.stderr[-300:]})")
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("densecast-*.whl")
    return made


def environment(home: Path) -> dict[str, str]:
    """That of a program which knows nothing of this source."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, "DENSECAST_CACHE": str(home / "cache")}


def installed(python: str, wheel: Path, place: Path) -> Path:
    """A fresh virtual environment with the wheel and what it needs, in the versions of constraints.txt."""
    subprocess.run([python, "-m", "venv", place], check=True)
    done = subprocess.run(
        [place / "bin" / "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel],
        capture_output=True, text=True, check=False, env=environment(place),
    )  # fmt: skip
    missing = [line for line in done.stderr.splitlines() if "No matching distribution" in line]
    if done.returncode and missing:
        pytest.skip(f"NO wheels for {python}: {missing[0]}")
    assert done.returncode == 0, done.stderr
    return place
