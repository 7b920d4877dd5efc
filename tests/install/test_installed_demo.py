"""The demo of an installed wheel, without torch and nncf, from a folder that has no source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import built_wheel
import pytest


@pytest.mark.slow
def test_the_demo_runs_from_an_installed_wheel(tmp_path: Path) -> None:
    place = built_wheel.installed(sys.executable, built_wheel.build(tmp_path), tmp_path / "env")
    done = subprocess.run(
        [place / "bin" / "densecast", "demo", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=built_wheel.environment(tmp_path), timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "demo" / "report.html").is_file() and "openvino" in done.stdout
