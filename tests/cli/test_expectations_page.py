"""The page of what newcomers expect: whatever it names to show a row is there."""

from __future__ import annotations

import re
from pathlib import Path

from test_migrating import commands

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "expectations.md"


def rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [line.strip().strip("|").split("|") for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in cells if row[0].strip() not in ("expected", "met", "---")]


def test_every_row_is_shown_by_something_or_says_why_not() -> None:
    assert len(rows()) > 50
    for row in rows():
        assert len(row) == 3, row
        assert "`" in row[2] or row[1].startswith("–"), row


def test_every_test_that_is_named_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 60 and len(named) == text.count("`tests/")
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {name}"


def test_every_command_that_is_named_exists() -> None:
    known = commands()
    for said in re.findall(r"`densecast ([a-z][^`.(]*)`", PAGE.read_text(encoding="utf-8")):
        words = said.split()
        assert any(" ".join(words[:count]) in known for count in (1, 2)), said
