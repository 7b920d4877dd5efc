"""The page that answers the reference deployments row by row: what it names to show a row is there."""

from __future__ import annotations

import re
from pathlib import Path

from test_migrating import commands

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "references.md"


def rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in cells if row[0].strip() not in ("there", "---")]


def test_every_row_is_shown_by_something_or_says_why_not() -> None:
    assert len(rows()) > 50
    for row in rows():
        assert len(row) == 3, row
        assert "`" in row[2] or "](" in row[2] or row[1].startswith("–"), row


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 25
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {name}"


def test_every_command_that_is_named_exists() -> None:
    known = commands()
    for said in re.findall(r"`(densecast [^`]+)`", PAGE.read_text(encoding="utf-8")):
        words = said.split()[1:]
        verb = " ".join(words[: 2 if words[0] == "handoff" else 1])
        assert verb in known, said
        assert not {word for word in words if word.startswith("-")} - known[verb], said
