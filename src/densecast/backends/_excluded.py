"""Matches excluded-scope patterns against node names, in the same way for every quantiser."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence

from densecast.errors import UsageError


def matching(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names that any of `patterns` matches (anywhere in the name), in order.

    Raises:
        UsageError: a pattern is no regular expression, or is found in no name: what was to stay in float would not.
    """
    matched: set[str] = set()
    for pattern in patterns:
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise UsageError(f"--exclude {pattern!r} is no regular expression: {error}.") from None
        hits = {name for name in names if expression.search(name)}
        if not hits:
            raise UsageError(f"--exclude {pattern!r} is found in no node's name. {_advice(pattern, names)}")
        matched |= hits
    return [name for name in names if name in matched]


def check_types(excluded: Sequence[str], found: Collection[str]) -> None:
    """Check that every operator to leave out is one of those `found` in the graph, by its name in ONNX.

    Raises:
        UsageError: one is not, so that nothing would be left out for it.
    """
    for name in excluded:
        if name not in found:
            raise UsageError(
                f"{name!r} is no operator of this graph, so nothing would stay out of int8 for it; it has "
                f"{', '.join(sorted(found))}.",
                field="excluded_types",
            )


def _advice(pattern: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.3) or names[:3]
    return f"Names here are like {', '.join(map(repr, near))}; `compare --locate` and `diagnose` print more."
