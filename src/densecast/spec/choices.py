"""Holds options to the words and bounds that a command line holds them to, whoever made them."""

from __future__ import annotations

import dataclasses
import functools
import typing
from typing import Any, Literal

from densecast.errors import UsageError


def check(options: Any) -> None:
    """Check each field of a dataclass that is a choice of words, or a number with bounds.

    Words in letters of another case are put right.

    Raises:
        UsageError: a word that is none of them, or a number out of its bounds; names the field.
    """
    for name, (words, may_be_none) in _choices(options.__class__).items():
        value = getattr(options, name)
        if value in words or (value is None and may_be_none):
            continue
        meant = next((each for each in words if isinstance(value, str) and each.casefold() == value.casefold()), None)
        if meant is None:
            raise UsageError(f"{name} must be {', '.join(words[:-1])} or {words[-1]}, got {value!r}.", field=name)
        object.__setattr__(options, name, meant)
    for field in dataclasses.fields(options):
        value, low, high = getattr(options, field.name), field.metadata.get("minimum"), field.metadata.get("maximum")
        if not isinstance(value, int | float):
            continue
        if low is not None and not value >= low:
            raise UsageError(f"{field.name} must be at least {low}, got {value}.", field=field.name)
        if high is not None and not value <= high:
            raise UsageError(f"{field.name} must be at most {high}, got {value}.", field=field.name)


@functools.cache
def _choices(kind: type) -> dict[str, tuple[tuple[str, ...], bool]]:
    """The words of each field that is a choice, and whether it may be None instead."""
    found: dict[str, tuple[tuple[str, ...], bool]] = {}
    for name, hint in typing.get_type_hints(kind).items():
        literals = [each for each in (hint, *typing.get_args(hint)) if typing.get_origin(each) is Literal]
        words = tuple(word for literal in literals for word in typing.get_args(literal))
        if len(words) > 1 and all(isinstance(word, str) for word in words):
            found[name] = words, type(None) in typing.get_args(hint)
    return found
