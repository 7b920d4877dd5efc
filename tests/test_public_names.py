"""What users type: the package's public names, the verbs of the command line, and their options."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import click
import made_images
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


def test_functions_that_take_a_path_take_a_string_as_well() -> None:
    found = [each for each in (getattr(densecast, name) for name in densecast.__all__) if inspect.isfunction(each)]
    found += [densecast.Pipeline.open, densecast.Pipeline.read, densecast.Artifact.open]
    given = [(each.__name__, parameter) for each in found for parameter in inspect.signature(each).parameters.values()]
    paths = [(name, parameter) for name, parameter in given if "Path" in str(parameter.annotation)]
    assert len(paths) > 20
    assert [f"{name}({each})" for name, each in paths if "str" not in str(each.annotation)] == []


def test_an_image_is_read_by_its_name_as_a_string(tmp_path: Path) -> None:
    path = made_images.write_jpeg(tmp_path / "a.jpg", (12, 16))
    assert densecast.read_image(str(path)).shape == (12, 16, 3)
