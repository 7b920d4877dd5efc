"""No long stage is silent: without a word for half a minute, a command says what it is at, and since when."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
import typer.main
from command_line import densecast
from made_images import write_jpeg

from densecast.cli import _heartbeat, app
from densecast.cli._common import bar, clock_bar, steps
from densecast.runtime import stages


def beats() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "densecast-heartbeat" and each.is_alive()]


def wait_for(capsys: pytest.CaptureFixture[str], words: str) -> str:
    said, deadline = "", time.monotonic() + 30
    while words not in said:
        assert time.monotonic() < deadline, said
        time.sleep(0.01)
        said += capsys.readouterr().err
    return said


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_heartbeat, "SILENCE_S", 0.05)


@pytest.mark.usefixtures("impatient")
def test_a_stage_is_named_again_and_again_while_it_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    _heartbeat.begin()
    try:
        wait_for(capsys, "at work: 0 s")
        stages.at("trying ranges by histogram")
        wait_for(capsys, "trying ranges by histogram: 0 s\ntrying ranges by histogram: 0 s\n")
    finally:
        _heartbeat.end()
    stages.at("nobody listens any more")
    for thread in beats():
        thread.join(10)
    assert not beats() and "nobody" not in capsys.readouterr().err


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the watch reads: one that goes on only where a test says so."""
    now = [1000.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(_heartbeat, "time", clock)
    monkeypatch.setattr(_heartbeat, "SILENCE_S", 0.0625)
    return now


def test_a_word_comes_when_the_silence_has_lasted_so_long_and_each_word_begins_it_anew(
    still_clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    _heartbeat.begin()
    try:
        stages.at("compiling")
        still_clock[0] += 0.03125
        time.sleep(0.1)  # the watch looks again and again, and by its clock it is too early
        assert capsys.readouterr().err == ""
        still_clock[0] += 0.03125
        wait_for(capsys, "compiling: 0 s")
        still_clock[0] += 0.03125
        _heartbeat.spoken()
        still_clock[0] += 0.03125
        time.sleep(0.1)
        assert capsys.readouterr().err == ""
        with _heartbeat.shown_by_a_bar():
            still_clock[0] += 90
            time.sleep(0.1)
        assert capsys.readouterr().err == ""
        still_clock[0] += 0.0625
        wait_for(capsys, "compiling: 90 s")
    finally:
        _heartbeat.end()


def test_half_a_minute_is_what_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert f"after {_heartbeat.SILENCE_S:.0f} seconds without output" in page


def test_where_no_command_runs_words_and_bars_are_nobodys_business() -> None:
    """From Python nothing has begun to watch, and a command that ended twice, as after an error, is no fault."""
    _heartbeat.end()
    ending = beats()  # of a test before: told to end, but its thread may not have had its turn
    _heartbeat.end()
    _heartbeat.spoken()
    with _heartbeat.shown_by_a_bar():
        pass
    assert set(beats()) <= set(ending)


def test_a_process_that_ends_does_not_wait_for_the_watch() -> None:
    code = "from densecast.cli import _heartbeat; _heartbeat.begin(); raise SystemExit(5)"
    assert subprocess.run([sys.executable, "-c", code], timeout=25, check=False).returncode == 5


@pytest.mark.usefixtures("impatient")
def test_every_kind_of_bar_goes_on_speaking(capsys: pytest.CaptureFixture[str]) -> None:
    for shown, words in (
        (bar("images", False), "at work"),
        (clock_bar(False), "sensitivity 3 of 9: 0 s"),
        (steps(False), "build openvino int8: 0 s"),
    ):
        _heartbeat.begin()
        with shown as tell:
            if words.startswith("sens"):
                tell("sensitivity 3 of 9", 1.0, 60.0)
            elif words.startswith("build"):
                tell("build openvino int8", 4, 15)
            wait_for(capsys, words)
        _heartbeat.end()


@pytest.mark.quantize
def test_a_build_in_int8_says_which_ranges_it_tries(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    enter = _heartbeat.Heartbeat.enter
    monkeypatch.setattr(_heartbeat.Heartbeat, "enter", lambda beat, stage: (heard.append(stage), enter(beat, stage)))
    for seed in range(16):
        write_jpeg(tmp_path / "images" / f"{seed}.jpg", seed=seed)
    common = ("-p", "int8", "--data", tmp_path / "images", "--height", "24", "--width", "32")
    ended = densecast("build", artifacts / "float", "-b", "onnxruntime", "--out", tmp_path / "out", *common)
    assert ended.code == 0, ended.err
    tried = [each for each in heard if each.startswith("trying int8 ranges by ")]
    assert len(tried) >= 2 and "compiling for onnxruntime, int8" in heard
    assert heard[-1] == "comparing the build with its float graph"
    heard.clear()
    densecast("build", artifacts / "float", "-b", "onnxruntime", "--out", tmp_path / "quiet", *common, "-q")
    assert not heard and not beats()


@pytest.mark.parametrize("command", ["", "build", "run", "infer", "handoff prepare", "models", "data check"])
def test_the_help_shows_no_value_beside_flags_that_take_none(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERMINAL_WIDTH", "160")
    ended = densecast(*command.split(), "--help")
    assert ended.code == 0
    assert not re.search(r"<?bool(ean)?>?", ended.out, re.IGNORECASE)
    for flag in ("--verbose", "--tune", "--quiet"):
        for line in ended.out.splitlines():
            if re.match(rf"\W*{flag} ", line):
                assert "<" not in line, line
    if command == "build":
        (tune,) = (each for each in typer.main.get_command(app).commands["build"].params if "--tune" in each.opts)  # type: ignore[attr-defined]
        assert tune.is_flag
