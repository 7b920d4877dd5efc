"""The command line as its user meets it: arguments in; exit code, output and errors out."""

from __future__ import annotations

import contextlib
import functools
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import typer.main

from densecast.cli import main

# Reading the options of a sub-command anew for each of a thousand calls would take longer than most of them.
_get_command = functools.cache(typer.main.get_command)


@dataclass(frozen=True)
class Ended:
    """How a call ended."""

    code: int
    out: str
    err: str


def densecast(*arguments: str | Path) -> Ended:
    """`densecast ARGUMENTS`, in this process and through the same entry point."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["densecast", *map(str, arguments)]),
        mock.patch.object(typer.main, "get_command", _get_command),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        else:
            code = 0
    return Ended(code, out.getvalue(), err.getvalue())


def failed(code: int, *arguments: str | Path) -> str:
    """The one line on standard error with which the call has to end, and its exit code `code`."""
    ended = densecast(*arguments)
    assert ended.code == code, f"exit {ended.code}: {ended.err}{ended.out}"
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("densecast: ")
    return lines[0].removeprefix("densecast: ")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below, hidden ones too: equal before and after where nothing may be left behind."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


class StandInVerb:
    """Stands for a verb: notes what it is given, and returns what it was made with; `told` is its progress, if any."""

    told: tuple[Any, ...] = ()

    def __init__(self, result: Any) -> None:
        self.result = result
        self.given: tuple[Any, ...] = ()
        self.named: dict[str, Any] = {}

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.given, self.named = given, named
        if self.told and "progress" in named:
            named["progress"](*self.told)
        return self.result
