"""Reads names of classes from a file: one per line, or those that a YAML, JSON or TOML file of other tools holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densecast.datasets import _lists
from densecast.datasets.pairs import data_file
from densecast.errors import BadConfigError, MissingFileError
from densecast.io import files

_KEYS = ("names", "labels", "classes", "class_names", "id2label")
"""Under which tools keep the names: Ultralytics' data.yaml, Hugging Face's config.json, and their like."""
_TEXTS = (".txt", ".names")
_MOST_BYTES = 1 << 20


def is_meant(text: str) -> bool:
    """Whether a text is the name of a file rather than of a class: there is one, or it ends like one."""
    path = Path(text)
    return path.is_file() or path.suffix.lower() in (*_TEXTS, *data_file.SUFFIXES, ".csv")


def read(path: Path) -> list[str] | dict[Any, str]:
    """The names in order, or a table from index to name.

    Raises:
        MissingFileError: there is no such file.
        BadConfigError: it cannot be read, or holds no names.
    """
    if not path.is_file():
        raise MissingFileError.at(path, "file of labels", field="labels")
    if path.suffix.lower() not in data_file.SUFFIXES:
        return _lines(path)
    return _found(data_file.plain(path), path)


def in_text(text: str) -> list[str] | dict[Any, str] | int:
    """Names by comma with or without quotes, how many there are, or a list or table in brackets as JSON or YAML has it.

    Raises:
        BadConfigError: brackets that hold something else.
    """
    if text.isdecimal():
        return int(text)
    if text.lstrip()[:1] not in ("[", "{"):
        return [_unquoted(name) for name in text.split(",")]
    import yaml

    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError:
        raise BadConfigError(f"{text[:100]!r} is no list and no table.", field="labels") from None
    return _found(plain, repr(text[:100]))


def _unquoted(name: str) -> str:
    """A name without blanks around it, and without quotes that the shell has left."""
    name = name.strip()
    return name[1:-1].strip() if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"" else name


def _found(plain: Any, where: object) -> list[str] | dict[Any, str]:
    """The names in a list or table, or under a usual key of a table that holds more.

    Raises:
        BadConfigError: there are none.
    """
    found = plain
    if isinstance(plain, Mapping):
        found = next((plain[key] for key in _KEYS if plain.get(key)), plain)
    if isinstance(found, list) and found and all(isinstance(each, str) for each in found):
        return found
    if isinstance(found, Mapping) and found and all(str(key).isdigit() for key in found):
        return {int(key): str(name) for key, name in found.items()}
    raise BadConfigError(
        f"{where} holds no names of classes: a list, or a table from index to name, under one of {', '.join(_KEYS)}.",
        field="labels",
    )


def _lines(path: Path) -> list[str]:
    try:
        text = _lists.text_in(files.read_bounded(path, _MOST_BYTES), old=True)
    except OSError as error:
        raise BadConfigError(f"{path}: cannot be read ({error.strerror}).", field="labels") from None
    if text is None:
        raise BadConfigError(f"{path} is no text: give names of classes, one per line.", field="labels")
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names or path.suffix.lower() == ".csv":
        raise BadConfigError(f"{path} must hold names of classes, one per line, and nothing else.", field="labels")
    return _lists.by_numbers(names)
