"""Where a kernel has no Landlock or no seccomp, foreign files are still read: what is left holds, and says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import tiny_artifacts
import tiny_graphs

from densecast.errors import BadGraphError
from densecast.runtime import cell, confinement

SMALL = cell.Limits(memory_bytes=256 << 20, cpu_s=2, wall_s=60, file_bytes=1 << 20)
WITHOUT = {
    "neither": ("without_landlock", "without_seccomp"),
    "Landlock": ("without_landlock",),
    "seccomp": ("without_seccomp",),
}


@pytest.fixture(scope="module", autouse=True)
def both_are_here() -> None:
    if not (confinement.landlock_abi() and confinement.has_seccomp()):
        pytest.skip("this kernel has no Landlock or no seccomp: nothing was asserted about taking one away")


def attempt(folder: Path, without: str, what: str, argument: str = "") -> Any:
    folder.mkdir(parents=True)
    return cell.run_in_cell(
        "cell_attempts:attempt",
        {"what": what, "argument": argument},
        folder,
        subject="it",
        bounds=SMALL,
        preload=("cell_attempts",),
        libraries=WITHOUT[without],
    )


@pytest.mark.parametrize("without", WITHOUT)
def test_what_is_left_holds_and_what_is_gone_is_not_claimed(tmp_path: Path, without: str) -> None:
    said = attempt(tmp_path / "a", without, "describe")
    files_are_confined = "files: Landlock" in said
    calls_are_confined = "network and programs: seccomp" in said
    assert files_are_confined == (without == "seccomp") and calls_are_confined == (without == "Landlock")
    assert ("no confinement by this kernel" in said) == (not files_are_confined)
    assert attempt(tmp_path / "b", without, "work")["threads"] == 1
    (tmp_path / "there").write_text("mine")
    if files_are_confined:
        with pytest.raises(BadGraphError, match="Errno 13"):
            attempt(tmp_path / "c", without, "overwrite", str(tmp_path / "there"))
    else:  # nothing is claimed that does not hold
        attempt(tmp_path / "c", without, "overwrite", str(tmp_path / "there"))
    assert ((tmp_path / "there").read_text() == "mine") == files_are_confined
    if calls_are_confined:
        with pytest.raises(BadGraphError, match="Errno 1]"):
            attempt(tmp_path / "d", without, "program")
    for number, (what, words) in enumerate(
        {"memory": cell.GIB, "disk": "Errno 27", "crash": "SIGSEGV", "lie": "a b|a\\nb"}.items()
    ):
        with pytest.raises(BadGraphError, match=words):
            attempt(tmp_path / f"e{number}", without, what)


@pytest.mark.slow
def test_an_export_without_landlock_gives_the_same_artifact_and_a_verbose_one_says_so(tmp_path: Path) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    arguments = ["densecast", "export", str(tmp_path / "tiny.onnx"), "--labels", "a,b", "--out", str(tmp_path / "out")]
    code = f"import sys, without_landlock; sys.argv = {[*arguments, '-v']}; from densecast.cli import main; main()"
    path = os.pathsep.join([str(Path(__file__).parents[1] / "support"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "files: no confinement by this kernel" in done.stderr
    ours = tiny_artifacts.exported(tmp_path)
    assert (tmp_path / "out" / "model.onnx").read_bytes() == ours.file("model.onnx").read_bytes()
