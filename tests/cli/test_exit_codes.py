"""Gates, missing extras and real processes end with the promised code."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_artifacts
import tiny_graphs
import typer.main
from command_line import densecast, failed
from made_images import write_jpeg
from typer.core import TyperGroup

from densecast.cli import app
from densecast.spec.options import BuildOptions, InputShape, Range

OPEN = BuildOptions("onnxruntime", shape=InputShape(batch=Range(1, 4)))


def test_gates_end_with_1_and_the_table_is_printed_all_the_same(artifacts: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    tiny_artifacts.compiled(other, OPEN, tiny_graphs.segmentation(seed=7))
    write_jpeg(tmp_path / "images" / "a.jpg")
    arguments = ("compare", artifacts / "built", other / "built", "--images", tmp_path / "images", "-q")
    assert densecast(*arguments).code == 0
    for gate in (("--tolerance", "0.01"), ("--max-changed", "0.01")):
        ended = densecast(*arguments, *gate)
        assert ended.code == 1
        assert "relative" in ended.out and "beyond the stated limits: built" in ended.err
    assert densecast("compare", artifacts / "built", artifacts / "built", *arguments[3:], "--tolerance", "0").code == 0


def test_a_missing_extra_says_what_to_install(artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    write_jpeg(tmp_path / "images" / "a.jpg")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jinja2" else real(name))
    assert "pip install 'densecast[report]'" in failed(3, "run", "unet_tiny", "--out", tmp_path / "out", "-q")
    for name in ("torch", "nncf"):
        monkeypatch.setitem(sys.modules, name, None)
    for backend, precision, extra in (("torch", "fp32", "torch"), ("openvino", "int8", "quantize")):
        message = failed(
            3, "build", artifacts / "float", "--out", tmp_path / "out", "-b", backend, "-p", precision, "-q",
            "--data", tmp_path / "images",
        )  # fmt: skip
        assert re.search(rf"pip install (--extra-index-url \S+ )?'densecast\[{extra}\]'", message)
    assert not (tmp_path / "out").exists()


@functools.cache
def commands() -> dict[str, Any]:
    """Every command and sub-command, as its words."""

    def below(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for name, each in group.commands.items():
            if hasattr(each, "commands"):
                yield from below(each, (*words, name))
            else:
                yield " ".join((*words, name)), each

    return dict(below(typer.main.get_command(app), ()))


@pytest.mark.parametrize("words", commands())
def test_a_fault_of_any_verb_is_70_and_one_line_with_the_file_to_report(
    words: str, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = commands()[words]
    place = tmp_path / "given.json"
    place.write_text("{}")
    given: list[str | Path] = []
    for each in command.params:
        if each.required:
            given += [place] if each.param_type_name == "argument" else [each.opts[0], tmp_path / "made"]

    def breaks(*_: object) -> None:
        raise AssertionError("planted")

    # What each of them does first.
    for name, module in list(sys.modules.items()):
        if name.startswith("densecast.cli.") and hasattr(module, "set_up"):
            monkeypatch.setattr(module, "set_up", breaks)
    said = failed(70, *words.split(), *given)
    trace = own_cache / "last_internal_error.txt"
    assert said == f"internal error: AssertionError: planted. Please report it with {trace}."
    assert "in breaks" in trace.read_text()
    assert not (tmp_path / "made").exists()


# The same through real processes


def process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "densecast", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_process_ends_with_the_code_and_one_line(artifacts: Path, tmp_path: Path) -> None:
    done = process("build", artifacts / "float", "--out", tmp_path / "out", "--precision", "fp61")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("densecast: unknown precision 'fp61'") and done.stderr.count("\n") == 1
    (tmp_path / "a.jpg").write_bytes(b"")
    done = process("infer", artifacts / "built", tmp_path / "a.jpg", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_process_that_works_ends_with_0_and_json_alone_on_standard_output(artifacts: Path, tmp_path: Path) -> None:
    image = write_jpeg(tmp_path / "a.jpg")
    done = process("infer", artifacts / "built", image, "--out", tmp_path / "out", "--json", "-", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["results"] == [{"image": str(image), "file": str(tmp_path / "out" / "a.png")}]


def test_only_the_older_name_of_a_command_is_not_listed() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    assert {name for name, command in group.commands.items() if command.hidden} == {"compare-results"}
