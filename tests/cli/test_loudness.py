"""Every command says as much as was asked for, from its first step on, and each `-v` says more."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main
from command_line import densecast

from densecast.cli import _heartbeat, app

# These find work without any argument: `demo` for minutes, `doctor` for a second.
_BUSY = ("demo", "doctor")


def commands() -> Iterator[tuple[str, ...]]:
    """Each command that can be told to be quiet, with a path that is not there for all that it needs."""

    def below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, each in getattr(command, "commands", {}).items():
            yield from below(each, (*words, name))
        if any(each.name == "quiet" for each in command.params) and words[0] not in _BUSY:
            needed = [each for each in command.params if each.required]
            options = [word for each in needed if each.param_type_name == "option" for word in (each.opts[0], "gone")]
            yield *words, *(["gone"] * (len(needed) - len(options) // 2)), *options

    yield from below(typer.main.get_command(app), ())


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Noted when a command begins to tell what takes long; nothing is told here."""
    begun: list[str] = []
    monkeypatch.setattr(_heartbeat, "begin", lambda: begun.append("begun"))
    return begun


def test_nearly_all_commands_can_be_told_to_be_quiet() -> None:
    assert len(list(commands())) >= 20


@pytest.mark.parametrize("words", list(commands()), ids=lambda words: "-".join(words))
def test_a_command_is_as_loud_as_it_is_asked_to_be(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beats: list[str]
) -> None:
    """A command that forgets it logs nothing of what `-v` promises, and warns where `-q` was asked for."""
    monkeypatch.chdir(tmp_path)
    for flags, level in (((), logging.WARNING), (("-v",), logging.INFO), (("-vv",), logging.DEBUG)):
        logging.getLogger("densecast").setLevel(logging.NOTSET)
        beats.clear()
        densecast(*words, *flags)
        assert logging.getLogger("densecast").level == level
        assert beats, "what takes long is told unless it should be quiet"
    beats.clear()
    densecast(*words, "-q")
    assert logging.getLogger("densecast").level == logging.ERROR and not beats
