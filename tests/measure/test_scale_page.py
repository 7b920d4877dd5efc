"""The three ways of the page about many images run as they are written there: one machine, shards, a cluster."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from command_line import densecast
from made_stores import prepare

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store

ROOT = Path(__file__).parents[2]
SCALE = ROOT / "examples" / "scale"


def lines() -> list[str]:
    """Every command of the page."""
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("densecast ")]


@pytest.mark.slow
def test_the_commands_of_the_page_give_one_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = prepare(tmp_path / "made", count=20)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.chdir(tmp_path)
    given = lines()
    assert any("--shard" in line for line in given) and any("--on ray" in line for line in given)
    score = ""
    for line in given:
        if "ray:10." in line or "/scratch/" in line:  # machines that are not here
            continue
        if "--store runs/carvana" in line and "--shard" not in line:
            shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        line = line.replace("runs/fcn/built", str(root / "built")).replace("/data/carvana", str(root / "data"))
        line = line.replace("runs/fcn/float", str(root / "float")).replace("runs/fcn/int8", str(root / "built"))
        line = line.replace("STORE", "runs/carvana").replace("--on ray", "--on ray:local")
        if "--shard 3/16" in line:
            shutil.rmtree(tmp_path / "runs", ignore_errors=True)
            for place in (1, 2):
                ended = densecast(*shlex.split(line.replace("3/16", f"{place}/2"))[1:], "-q")
                assert ended.code == 0, f"{line}: {ended.err}"
            continue
        ended = densecast(*shlex.split(line)[1:], *(["-q"] if " evaluate " in line else []))
        assert ended.code == 0, f"{line}: {ended.err}"
        found = re.search(r"dice_per_image: ([0-9.]+)", ended.out)
        if found:
            score = score or found[1]
            assert found[1] == score
    assert score


def test_the_slurm_script_runs_its_shard(tmp_path: Path) -> None:
    """With a stand-in for densecast that says how it was called."""
    (tmp_path / "densecast").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "densecast").chmod(0o755)
    known = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "7"}
    known["SLURM_ARRAY_TASK_COUNT"] = "16"
    done = subprocess.run(["bash", SCALE / "slurm.sh"], env=known, capture_output=True, text=True, check=True)
    parses(shlex.split(done.stdout))
    assert "--shard 7/16" in done.stdout


def test_the_kubernetes_job_has_a_shard_for_every_index() -> None:
    job = yaml.safe_load((SCALE / "kubernetes.yaml").read_text(encoding="utf-8"))
    (command,) = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert job["spec"]["completionMode"] == "Indexed" and job["spec"]["completions"] == 16
    for index in (0, 15):
        text = subprocess.run(
            ["sh", "-c", f"echo {command}"], env={"JOB_COMPLETION_INDEX": str(index)}, capture_output=True, text=True
        ).stdout
        assert f"--shard {index + 1}/16" in text
        parses(shlex.split(text)[1:])


def parses(arguments: list[str]) -> None:
    """Wrong options and values raise."""
    import typer

    from densecast.cli import app
    from densecast.spec.store_options import StoreOptions

    verb, *rest = arguments
    context = typer.main.get_command(app).commands[verb].make_context(verb, rest)  # type: ignore[attr-defined]
    given = {
        name.removeprefix("stored_"): value for name, value in context.params.items() if name.startswith("stored_")
    }
    assert StoreOptions(**given).part is not None
    context.close()
