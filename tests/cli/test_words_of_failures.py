"""What a command says and ends with when the system, a library or densecast itself fails; each in one line."""

from __future__ import annotations

import errno
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from densecast.cli import _common, _outcome
from densecast.errors import BadImageError, GateFailedError, UsageError
from densecast.io import cache, temporaries


class ForeignError(Exception):
    """As a library raises it."""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageError("no such option"), 2, "no such option"),
        (BadImageError("broken"), 3, "broken"),
        (GateFailedError("too far"), 1, "too far"),
        (BadImageError("broken", hint="Save it again."), 3, "broken Save it again."),
        (MemoryError(), 3, "memory ran out"),
        (OSError(errno.ENOMEM, "x"), 3, "memory ran out"),
        (RuntimeError("std::bad_alloc"), 3, "memory ran out"),
        (ForeignError("Failed to allocate 5 bytes"), 3, "memory ran out"),
        (RuntimeError("can't start new thread"), 3, "memory ran out"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 3, "/a/b: Permission denied. Name a place"),
        (OSError(errno.EROFS, "Read-only file system", "b.png"), 3, "b.png: Read-only file system. Name a place"),
        (OSError(errno.ENOSPC, "No space left on device", b"b.png"), 3, "b.png: No space left on device.\n"),
        (OSError("odd"), 3, "odd"),
        # What quotes such words, or is densecast's own fault, is no lack of memory.
        (TypeError("not enough memory"), 70, "internal error: TypeError: not enough memory. Please report it with"),
        (KeyError("out of memory"), 70, "internal error: KeyError"),
        (ForeignError("first.\nsecond"), 70, "internal error: ForeignError: first. Please report it with"),
        (ForeignError(), 70, "internal error: ForeignError: . Please report it with"),
    ],
)  # fmt: skip
def test_every_failure_is_a_line_and_a_code(
    error: Exception, code: int, words: str, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _outcome.told(error) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"densecast: {words}") and said.err.count("\n") == 1
    kept = own_cache / "last_internal_error.txt"
    assert kept.is_file() == (code == 70)
    if code == 70:
        assert type(error).__name__ in kept.read_text() and str(kept) in said.err


def test_files_of_ours_that_are_temporary_are_named_by_their_folder(capsys: pytest.CaptureFixture[str]) -> None:
    hidden = temporaries.beside(Path("/there/out.png"))
    try:
        assert _outcome.told(OSError(errno.ENOSPC, "No space left on device", str(hidden / "part"))) == 3
    finally:
        temporaries.forget(hidden)
    assert capsys.readouterr().err == "densecast: /there: No space left on device.\n"


def test_where_nothing_can_be_kept_the_trace_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cache, "writable_folder", lambda: None)
    assert _outcome.told(KeyError("x")) == 70
    said = capsys.readouterr().err
    assert "KeyError: 'x'\n" in said and said.endswith("Please report it with the lines above.\n")


class Full(io.StringIO):
    """Standard output on a disk that is full, or closed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def flush(self) -> None:
        """Fail."""
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "expected", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 0, 3, "No space left on device"),
        (ValueError("I/O operation on closed file"), 0, 0, ""),
        (ValueError("I/O operation on closed file"), 3, 3, ""),
        (OSError(errno.ENOSPC, "No space left on device"), 2, 3, "No space left on device"),
    ],
)
def test_what_cannot_be_printed_is_a_failure_too(
    error: Exception, code: int, expected: int, said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "stdout", Full(error))
    assert _outcome.flushed(code) == expected
    assert said in capsys.readouterr().err
    for stream in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stdout", stream)
        assert _outcome.flushed(0) == 0 and _outcome.flushed(3) == 3


def test_names_that_are_no_utf8_are_printed_as_their_bytes_and_odd_letters_as_escapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict", newline="\n")
    kept = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", kept)
    _outcome.print_any_file_name()
    print("caf\udce9 ä 日")
    stream.flush()
    assert raw.getvalue() == b"caf\xe9 \\xe4 \\u65e5\n" and kept.errors == "replace"


def test_empty_arguments_are_refused_by_the_option_they_are_for() -> None:
    for words, what in (
        (["infer", ""], "an argument is empty"), (["infer", "--out", ""], "--out has an empty value"),
        (["infer", "--out="], "--out has an empty value"), ([""], "an argument is empty"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=rf"^{what}\. Is a variable of the shell not set\?"):
            _outcome.refuse_empty(words)
    _outcome.refuse_empty(["infer", "a", "--suffix", "", "--suffix=", "--device", "", "x=", "--a=b"])


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """The time."""
        return self.now


def test_progress_without_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(_common, "time", clock)
    with _common.bar("counting", quiet=False) as progress:
        progress(1, 9)
        clock.now += 3600
        progress(2, 9)
        progress(3, 9)
        clock.now += 3600
        progress(4, None)
    assert capsys.readouterr().err == "counting: 2 of 9\ncounting: 4\n"
    with _common.clock_bar(quiet=False) as told:
        clock.now += 3600
        told("layers", 1.6, 90.2)
    assert capsys.readouterr().err == "seconds: 2 of 90  layers\n"
    with _common.steps(quiet=False) as step:
        clock.now += 2.25
        step("build", 4, 15)
    assert capsys.readouterr().err == "[ 4/15]    2.2 s  build\n"
    quiet: list[tuple[Any, tuple[Any, ...]]] = [
        (_common.bar("x", True), (1, 2)),
        (_common.clock_bar(True), ("x", 1.0, 2.0)),
        (_common.steps(True), ("x", 1, 2)),
    ]
    for made, given in quiet:
        with made as silent:
            clock.now += 3600
            silent(*given)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("ratios", "flip"), [("1", False), ("0.5,1.0,1.5", True)])
def test_views_are_ratios_and_mirrored_ones(ratios: str, flip: bool) -> None:
    found = _common.augment(ratios, flip)
    assert found.ratios == tuple(map(float, ratios.split(","))) and found.flip is flip
    with pytest.raises(UsageError, match="must be comma-separated numbers"):
        _common.augment("0.5,x", flip)


def test_json_has_null_for_what_is_no_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = {"a": float("nan"), "b": [1.5, float("inf"), {"c": -float("inf")}], "d": (1, "x")}
    _common.emit(value, "told caf\udce9", tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [1.5, None, {"c": None}], "d": [1, "x"]}
    assert capsys.readouterr().out == "told caf\\udce9\n"
    _common.emit(value, "told", Path("-"))
    assert json.loads(capsys.readouterr().out)["b"] == [1.5, None, {"c": None}]
    _common.emit(value, "told", None)
    assert capsys.readouterr().out == "told\n"
