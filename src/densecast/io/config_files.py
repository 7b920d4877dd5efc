"""Reads Python configuration files with the `_base_` files that they change, merged as MMCV and MMEngine merge them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from densecast.errors import BadConfigError, MissingFileError
from densecast.io import files, python_config

_MOST_FILES = 64
_MOST_LEVELS = 12
_DELETE = "_delete_"
_BASE = "_base_"


def read(path: Path) -> dict[str, Any]:
    """The names that a configuration file and its base files assign, merged.

    A table is merged with its base's, key by key, unless it says `_delete_=True`; all else replaces.

    Raises:
        MissingFileError: the file, or a base file, is not there.
        BadConfigError: it cannot be read without executing it, its bases go round in circles, or two bases assign the
            same name.
    """
    return _read(path, (), [0])


def texts(path: Path) -> list[tuple[Path, str]]:
    """The texts of a configuration that has been read, and of its base files, the file itself first."""
    found, waiting = list[tuple[Path, str]](), [files.real(path)]
    while waiting and len(found) < _MOST_FILES:
        each = waiting.pop(0)
        text = _text(each)
        found.append((each, text))
        waiting += [files.real(each.parent / name) for name in _base_names(text, each)]
    return found


def _read(path: Path, above: tuple[Path, ...], count: list[int]) -> dict[str, Any]:
    path = files.real(path)
    count[0] += 1
    if path in above or len(above) >= _MOST_LEVELS or count[0] > _MOST_FILES:
        raise BadConfigError(f"{path.name}: its {_BASE} files go round in circles, or are too many.", field="config")
    text = _text(path)
    bases: dict[str, Any] = {}
    for name in _base_names(text, path):
        inner = _read(path.parent / name, (*above, path), count)
        twice = sorted(set(bases) & set(inner))
        if twice:
            raise BadConfigError(f"{path.name}: two of its {_BASE} files assign {twice[0]!r}.", field="config")
        bases |= inner
    own = python_config.parse(text, path.name, bases)
    own.pop(_BASE, None)
    return merge(own, bases, path.name)


def merge(own: dict[str, Any], base: dict[str, Any], where: str) -> dict[str, Any]:
    """`base` changed by `own`: tables are merged key by key, all else is replaced.

    Raises:
        BadConfigError: a table is to change what is none, without `_delete_=True`.
    """
    merged = dict(base)
    for key, value in own.items():
        if key == _DELETE:
            continue
        if not isinstance(value, dict):
            merged[key] = value
            continue
        before = merged.get(key)
        if key in merged and not value.get(_DELETE):
            if isinstance(before, list) and all(str(index).isdecimal() for index in value):
                merged[key] = _merged_list(value, before, where)
                continue
            if before is not None and not isinstance(before, dict):
                raise BadConfigError(
                    f"{where}: {key!r} is a table here and none in its base: {_DELETE}=True replaces it.",
                    field="config",
                )
            merged[key] = merge(value, before or {}, where)
        else:
            merged[key] = merge(value, {}, where)
    return merged


def _merged_list(own: dict[str, Any], base: list[Any], where: str) -> list[Any]:
    """A list of which single entries are changed, by their index."""
    merged = list(base)
    for key, value in own.items():
        index = int(key)
        if index >= len(merged):
            raise BadConfigError(f"{where}: its base's list has no entry {index}.", field="config")
        before = merged[index]
        merged[index] = merge(value, before, where) if isinstance(value, dict) and isinstance(before, dict) else value
    return merged


def _base_names(text: str, path: Path) -> list[str]:
    """What the file assigns to `_base_`, read before the rest, which may use the bases' values."""
    import ast

    try:
        tree = ast.parse(text) if len(text) <= python_config.MAX_CHARACTERS else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    for statement in tree.body if tree is not None else ():
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        if not (isinstance(target, ast.Name) and target.id == _BASE and isinstance(statement, ast.Assign)):
            continue
        named = python_config.parse(f"{_BASE} = {ast.unparse(statement.value)}", path.name)[_BASE]
        names = [named] if isinstance(named, str) else named
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise BadConfigError(f"{path.name}, line {statement.lineno}: {_BASE} names files.", field="config")
        away = next((name for name in names if "::" in name or "://" in name), None)
        if away is not None:
            raise BadConfigError(
                f"{path.name}, line {statement.lineno}: {_BASE} names {away!r}, a file of a package or of the net, and "
                f"only files beside it are read. {python_config.FLAT}.",
                field="config",
            )
        return list(names)
    return []


def _text(path: Path) -> str:
    if not path.is_file():
        raise MissingFileError(f"the configuration {path} does not exist.", field="config")
    if path.stat().st_size > 4 * python_config.MAX_CHARACTERS:
        raise BadConfigError(
            f"{path.name} has {path.stat().st_size:,} bytes: too long for a configuration.", field="config"
        )
    try:
        return _with_own_name(path.read_text(encoding="utf-8-sig"), path)
    except UnicodeDecodeError as error:
        raise BadConfigError(
            f"{path.name} cannot be read as text in UTF-8, which configurations are in ({error}). Save it as UTF-8.",
            field="config",
        ) from None
    except OSError as error:
        raise BadConfigError(f"{path.name} cannot be read as text ({error}).", field="config") from None


def _with_own_name(text: str, path: Path) -> str:
    """The text with what it says of its own file filled in: `{{ fileDirname }}` and its kin."""
    own = {
        "fileDirname": path.parent.as_posix(),
        "fileBasename": path.name,
        "fileBasenameNoExtension": path.stem,
        "fileExtname": path.suffix,
    }
    for name, value in own.items():
        if value.isprintable() and not set(value) & set("\\\"'{}"):
            text = re.sub(r"\{\{\s*" + name + r"\s*\}\}", value, text)
    return text
