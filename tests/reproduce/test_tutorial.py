"""The tutorial runs as it stands, block by block, in an empty folder: files as it says, commands in order."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.torch, pytest.mark.quantize]
PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
# Installing is tried in tests/test_install_lines.py and tests/test_wheel.py.
INSTALLS = "pip install"


def blocks() -> list[tuple[str, str]]:
    """Language and text of each block, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def test_each_block_is_a_file_a_command_or_a_program() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = [re.match(r"# (\w+\.py)\n", code) for language, code in blocks() if language == "python"]
    assert [match[1] for match in named if match] == ["draw.py", "nets.py", "train.py"]
    assert all(f"`{match[1]}`" in text for match in named if match)
    assert {language for language, _ in blocks()} == {"bash", "python"}


def run(words: list[str]) -> str:
    """Run a program; `densecast` and `python` are those of this test."""
    start = {
        "densecast": [sys.executable, "-P", "-c", "from densecast.cli import main; main()"],
        "python": [sys.executable],
    }[words[0]]
    # Without the current folder, as for the command that pip installs.
    paths = [path for path in sys.path if path and Path(path) != Path.cwd()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([*start, *words[1:]], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_every_block_runs_and_what_is_promised_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said: dict[str, str] = {}
    for number, (language, text) in enumerate(blocks()):
        if language == "bash":
            for line in text.splitlines():
                if not line.startswith(INSTALLS):
                    said[line] = run(shlex.split(line, comments=True))
            continue
        named = re.match(r"# (\w+\.py)\n", text)
        file = named[1] if named else f"block_{number}.py"
        Path(file).write_text(text, encoding="utf-8")
        if not named:
            said[file] = run(["python", file])
    checked, trained = said["densecast data check my_data"], float(said["python train.py"].split()[-1])
    assert "80 pairs" in checked and "no problems found" in checked and trained < 0.3
    report = json.loads(Path("runs/mine/report.json").read_text(encoding="utf-8"))
    assert len(report["rows"]) == 6 and (Path("runs/mine/report.html")).stat().st_size > 10_000
    assert report["rows"][0]["score"]["count"] == 8 and report["rows"][0]["score"]["value"] > 0.8
    # The labels of `infer` are nearly the painted ones: counted here, pixel by pixel.
    right = []
    for path in sorted(Path("my_data/masks").glob("*.png")):
        right.append((np.asarray(Image.open(path)) == np.asarray(Image.open(Path("results") / path.name))).mean())
    assert len(right) == 80 and np.mean(right) > 0.95
    assert Path("results/000_overlay.jpg").is_file() and Path("chain.html").is_file()
    with Image.open("drawn.png") as drawn:
        assert drawn.width >= 128
    program = next(text for name, text in said.items() if name.startswith("block_"))
    assert "field" in program and "road" in program
