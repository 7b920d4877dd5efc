"""Without a map of lines, the mutation run finds tests by what they import, however often a name is handed on.

Killed, it leaves nothing running.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

MUTATION = Path(__file__).parent / "mutation"
SOURCES = {
    "__init__": "from densecast.shapes.inner import area",
    "shapes/__init__": "from densecast.shapes.public import volume as volume",
    "shapes/inner": "def area(): ...\ndef length(): ...",
    "shapes/public": "from densecast.shapes.deep import volume",
    "shapes/deep": "def volume(): ...",
    "shapes/_base": "FOUND = {}",
    "shapes/named": "from densecast.shapes._base import FOUND",
    "far": "from densecast.shapes.deep import volume as volume_of",
    "cli/cut_out": "def command(): ...",
}
TESTS = {
    "test_direct": "from densecast.shapes.inner import length",
    "test_by_the_front": "from densecast import area",
    "test_by_the_package": "from densecast.shapes import volume",
    "test_by_an_attribute": "import densecast.shapes\ndensecast.shapes.volume()",
    "test_renamed": "from densecast.far import volume_of as found",
    "test_by_a_text": "PLACE = 'densecast.shapes.public:volume'",
    "test_of_the_finder": "from densecast.shapes._base import FOUND",
    "test_of_a_command": "from command_line import densecast\ndensecast('cut-out', '.')",
    "test_of_a_word": "WORDS = 'cut-out'",
    "test_of_nothing": "import json",
}


@pytest.fixture
def chosen_tests(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(MUTATION))
    found = importlib.util.spec_from_file_location("chosen_tests", MUTATION / "chosen_tests.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "chosen_tests", module)
    found.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, texts in (("src/densecast", SOURCES), ("tests", TESTS)):
        for name, text in texts.items():
            path = tmp_path / folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return tmp_path


def names(chosen: list[str]) -> set[str]:
    return {Path(each).stem for each in chosen}


def test_a_name_that_is_handed_on_counts_where_it_is_defined(root: Path, chosen_tests: ModuleType) -> None:
    near = chosen_tests.NearTests(root, 10)
    handed_on = {"test_by_the_package", "test_by_an_attribute", "test_renamed", "test_by_a_text"}
    assert handed_on <= names(near.choose("src/densecast/shapes/deep.py", 1, 1.0))
    first = near.choose("src/densecast/shapes/inner.py", 1, 1.0)[:2]
    assert names(first) == {"test_direct", "test_by_the_front"}


def test_a_plug_in_that_nothing_imports_is_tested_by_who_knows_its_finder(root: Path, chosen_tests: ModuleType) -> None:
    found = chosen_tests.NearTests(root, 10).choose("src/densecast/shapes/named.py", 1, 1.0)
    assert names(found) == {"test_of_the_finder"}


def test_a_command_is_tested_by_who_calls_it_by_its_name(root: Path, chosen_tests: ModuleType) -> None:
    found = chosen_tests.NearTests(root, 10).choose("src/densecast/cli/cut_out.py", 1, 1.0)
    assert names(found) == {"test_of_a_command"}
    assert not chosen_tests.NearTests(root, 10, ["tests/test_of"]).choose("src/densecast/cli/cut_out.py", 1, 1.0)


def test_nearly_every_stated_change_fits_the_source_once() -> None:
    """Code moves; the few that have moved are told by the run itself, and put right with the next."""
    root, moved = MUTATION.parents[1], []
    stated = json.loads((MUTATION / "audited.json").read_text(encoding="utf-8"))
    for each in stated:
        assert each["became"] != each["was"]
        file = root / each["path"]
        if not file.is_file() or file.read_text(encoding="utf-8").count(each["was"]) != 1:
            moved.append(each)
    assert len(moved) <= len(stated) // 16, moved


def test_changes_that_make_no_difference_are_of_lines_that_are_there() -> None:
    root = MUTATION.parents[1]
    for each in json.loads((MUTATION / "equivalent.json").read_text(encoding="utf-8")):
        lines = (root / each["path"]).read_text(encoding="utf-8").splitlines()
        assert any(each["line"] in line for line in lines), each
        assert each["why"]


# Starts the process that runs tests, has it run one without end, and does nothing more.
STARTER = """
import json, os, subprocess, sys, time
script, folder = sys.argv[1:]
server = subprocess.Popen(
    [sys.executable, script, str(os.getpid()), "pytest"], cwd=folder, stdin=subprocess.PIPE, text=True
)
request = {"tests": ["test_endless.py"], "limit_s": 60, "log": folder + "/log"}
server.stdin.write(json.dumps(request) + chr(10))
server.stdin.flush()
time.sleep(60)
"""
ENDLESS = """
import os, pathlib, time

def test_endless():
    pathlib.Path("pids.new").write_text(f"{os.getppid()} {os.getpid()}")
    pathlib.Path("pids.new").rename("pids")
    time.sleep(60)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def waited_for(happened: Callable[[], bool], limit_s: float = 30) -> bool:
    end = time.monotonic() + limit_s
    while not happened() and time.monotonic() < end:
        time.sleep(0.02)
    return happened()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_run_that_is_killed_leaves_neither_its_server_nor_a_test_running(tmp_path: Path) -> None:
    (tmp_path / "test_endless.py").write_text(ENDLESS)
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(MUTATION / "forked_tests.py"), str(tmp_path)])
    try:
        assert waited_for((tmp_path / "pids").is_file)
        server, test = map(int, (tmp_path / "pids").read_text().split())
        assert is_running(server) and is_running(test)
    finally:
        starter.kill()
        starter.wait()
    assert waited_for(lambda: not is_running(server) and not is_running(test))
