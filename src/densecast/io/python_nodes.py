"""Parses the text of a configuration within bounds; what its parts are called in errors, and what its values hold."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from densecast.errors import BadConfigError

_OPENING, _CLOSING = "([{", ")]}"


def is_number(value: object) -> bool:
    """Whether this is a number; truth values are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def count_values(value: Any, most: int) -> int:
    """The number of values inside of a value, itself included; stops counting above `most`."""
    count, waiting = 0, [value]
    while waiting and count <= most:
        each = waiting.pop()
        count += 1
        if isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, (list, tuple)):
            waiting += each
        elif isinstance(each, str):
            count += len(each) // 64
    return count


def holds(value: Any, part: object) -> bool:
    """Whether this very list or table is somewhere inside of a value."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        whole = waiting.pop()
        for each in whole.values() if isinstance(whole, Mapping) else whole:
            if each is part:
                return True
            if isinstance(each, (Mapping, list, tuple)) and id(each) not in seen:
                seen.add(id(each))
                waiting.append(each)
    return False


def parsed(text: str, where: str, most_depth: int) -> ast.Module:
    """The statements of a configuration.

    Raises:
        BadConfigError: no Python, or nested deeper.
    """
    _check_depth(text, where, most_depth)
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise BadConfigError(
            f"{where}, line {error.lineno or 1}: no Python assignments ({error.msg}).", field="config"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "too deeply nested" if not isinstance(error, ValueError) else str(error)
        raise BadConfigError(f"{where} cannot be read ({reason}).", field="config") from None


def _check_depth(text: str, where: str, most: int) -> None:
    """Bound nesting before Python's parser follows it; brackets inside of strings count too, which is no matter."""
    depth, line = 0, 1
    for character in text:
        if character == "\n":
            line += 1
        elif character in _OPENING:
            depth += 1
            if depth > most:
                raise BadConfigError(
                    f"{where}, line {line}: brackets are nested more than {most} deep.", field="config"
                )
        elif character in _CLOSING:
            depth = max(0, depth - 1)


_WORDS = {
    "an import": ("Import", "ImportFrom"),
    "a function": ("FunctionDef", "AsyncFunctionDef", "Lambda"),
    "a comprehension": ("ListComp", "SetComp", "DictComp", "GeneratorExp"),
    "a condition": ("IfExp", "If", "BoolOp", "Compare", "Match"),
    "a loop": ("For", "While"),
    "an expression": ("Expr", "NamedExpr", "Await", "Yield"),
    "an assignment of another kind": ("AugAssign", "AnnAssign", "Delete"),
}


def called(node: ast.AST) -> str:
    """What a part of Python is called."""
    name = type(node).__name__
    return next((words for words, kinds in _WORDS.items() if name in kinds), f"'{name}'")
