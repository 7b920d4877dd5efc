"""Finds the line of a configuration's text at which a key is said, for errors that know its path alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from densecast.io import config_files, python_nodes
from densecast.io.python_config import MAX_CHARACTERS, MAX_DEPTH

Key = str | int
# The path at the beginning of what is said of a key: model.decode_head[1].in_index, test_cfg.mode.
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.\w+|\[\d+\])+")
_UNKNOWN = re.compile(r" has keys that densecast does not know: (\w+)")
_STEP = re.compile(r"\w+")


def path_in(message: str) -> tuple[Key, ...]:
    """The path of the key that a message is about; empty where it begins with none.

    >>> path_in("model.decode_head[1].channels must be a whole number.")
    ('model', 'decode_head', 1, 'channels')
    """
    found = _PATH.match(message)
    if found is None:
        return ()
    unknown = _UNKNOWN.match(message, found.end())
    steps = [*_STEP.findall(found[0]), *([unknown[1]] if unknown else [])]
    return tuple(int(step) if step.isdecimal() else step for step in steps)


def line_of(text: str, path: Sequence[Key]) -> tuple[int, int]:
    """How many steps of a path are written in a text, and the line of the last one; (0, 0) for none."""
    if not path or len(text) > MAX_CHARACTERS:
        return 0, 0
    tree = python_nodes.parsed(text.removeprefix("\ufeff"), "the configuration", MAX_DEPTH)
    names = {
        target.id: statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    found = names.get(str(path[0]))
    if found is None:
        return 0, 0
    count, line = 1, found.lineno
    for step in path[1:]:
        inner = _inner(found, step, names, len(names))
        if inner is None:
            break
        count, line, found = count + 1, inner[0], inner[1]
    return count, line


def in_files(path: Path, keys: Sequence[Key]) -> tuple[str, int] | None:
    """The file, of a configuration and its `_base_` files, that says the most of a path, and the line in it."""
    best: tuple[int, str, int] | None = None
    for each, text in config_files.texts(path):
        count, line = line_of(text, keys)
        if count and (best is None or count > best[0]):
            best = (count, each.name, line)
    return None if best is None else best[1:]


def _inner(node: ast.expr, step: Key, names: Mapping[str, ast.expr], left: int) -> tuple[int, ast.expr] | None:
    """The line and value of what is one step inside of a value."""
    if isinstance(node, ast.Name) and left > 0:
        return _inner(names[node.id], step, names, left - 1) if node.id in names else None
    if isinstance(node, (ast.List, ast.Tuple)) and isinstance(step, int):
        return (node.elts[step].lineno, node.elts[step]) if step < len(node.elts) else None
    if isinstance(node, ast.Dict):
        pairs: list[tuple[str | None, int, ast.expr]] = [
            (
                str(key.value) if isinstance(key, ast.Constant) else None,
                value.lineno if key is None else key.lineno,
                value,
            )
            for key, value in zip(node.keys, node.values, strict=True)
        ]
    elif isinstance(node, ast.Call):
        pairs = [(keyword.arg, keyword.lineno, keyword.value) for keyword in node.keywords]
        pairs += [(None, each.lineno, each) for each in node.args]
    else:
        return None
    own = [(line, value) for name, line, value in pairs if name == str(step)]
    if own:
        return own[-1]
    # What `**name` and `dict(name)` bring along.
    brought = [_inner(value, step, names, left) for name, _, value in pairs if name is None]
    return next((each for each in brought if each is not None), None)
