"""Errors of the system in one line: the folder that was lost is told of only where it is the reason."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from command_line import densecast

from densecast.cli import _outcome

LOST = "the folder that this was started in is gone"


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), True),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.png"), False),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), False),
    ],
)
def test_only_what_has_no_name_may_be_the_folder_itself(
    error: OSError, is_lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _outcome.told(error) == 3 and LOST not in capsys.readouterr().err
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    try:
        assert _outcome.told(error) == 3
    finally:
        os.chdir(tmp_path)
    said = capsys.readouterr().err
    assert (LOST in said) == is_lost and said.count("\n") == 1


def test_options_of_int8_and_of_a_search_stand_together_in_the_help() -> None:
    ended = densecast("build", "--help")
    assert ended.code == 0
    panels: dict[str, str] = {}
    name = ""
    for line in ended.out.splitlines():
        if line.startswith("╭─"):
            name = line.strip("╭─╮ ")
        panels[name] = panels.get(name, "") + line
    for option in ("--data", "--on"):
        assert option in panels["Calibration (int8)"], option
    for option in ("--max-drop", "--drop-data"):
        assert option in panels["Accuracy limit (int8)"], option
