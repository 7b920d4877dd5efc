"""What users type: the package's public names, the verbs of the command line, and their options."""

from __future__ import annotations

import json
from pathlib import Path

import click
import typer.main

import densecast
from densecast.cli import app

GOLDEN = Path(__file__).parent / "golden" / "public_names.json"
REMAKE = "if that is meant: python tests/golden/make_contract_goldens.py names, and say so in CHANGELOG.md"

OF_TYPER = {"--install-completion", "--show-completion"}


def options(command: click.Command, name: str = "densecast") -> dict[str, list[str]]:
    """The option strings of a command and of all below it, sorted, by the words that call it."""
    given = (each for each in command.params if each.param_type_name == "option")
    texts = {text for each in given for text in (*each.opts, *each.secondary_opts)}
    found = {name: sorted(texts - OF_TYPER)}
    for verb, below in sorted(getattr(command, "commands", {}).items()):
        found |= options(below, f"{name} {verb}")
    return found


def public_names() -> dict[str, object]:
    return {"densecast": sorted(densecast.__all__), "options": options(typer.main.get_command(app))}


def test_public_names_verbs_and_options_are_the_recorded_ones() -> None:
    assert public_names() == json.loads(GOLDEN.read_text(encoding="utf-8")), REMAKE


def test_every_public_name_is_there() -> None:
    for name in densecast.__all__:
        assert getattr(densecast, name) is not None, name
