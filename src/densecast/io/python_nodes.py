"""What parts of Python are called in errors about a configuration, and how many values one of its values holds."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any


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
        for each in waiting.pop():
            inner = each.values() if isinstance(each, Mapping) else each
            if each is part:
                return True
            if isinstance(each, (Mapping, list, tuple)) and id(each) not in seen:
                seen.add(id(each))
                waiting.append(inner)
    return False


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
