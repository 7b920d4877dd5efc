"""Holds options to the types, words and bounds that a command line holds them to, whoever made them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import numbers
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, ParamSpec, TypeVar

from densecast.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    type(None): "None",
}
_PLURALS: dict[Any, str] = {int: "whole numbers", float: "numbers", str: "texts"}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Hold each argument of a function whose default is an object of options to its class.

    The function then raises UsageError for something else, such as a dictionary of options.
    """
    signature = inspect.signature(function)
    kinds = {
        name: type(parameter.default)
        for name, parameter in signature.parameters.items()
        if dataclasses.is_dataclass(parameter.default)
    }

    @functools.wraps(function)
    def held(*arguments: P.args, **named: P.kwargs) -> R:
        for name, value in signature.bind(*arguments, **named).arguments.items():
            kind = kinds.get(name)
            if kind is not None and not isinstance(value, kind):
                wanted = f"{_article(kind.__name__)} {kind.__name__}(…)"
                raise UsageError(f"{name} must be {wanted}, got {value!r}.", field=name)
        return function(*arguments, **named)

    return held


def types_of(options: Any) -> None:
    """Check the type of each field of a dataclass, before anything is compared with it.

    Lists are taken for tuples, and numbers of other libraries for Python's.

    Raises:
        UsageError: a value of another type, such as text for a list of texts; names the field.
    """
    for name, hint in _hints(options.__class__).items():
        value = getattr(options, name)
        plain = _plain(value)
        if not _admits(hint, plain):
            cure = f": pass ({value!r},)" if _admits(hint, (plain,)) else ""
            raise UsageError(f"{name} must be {_words(hint)}, got {value!r}{cure}.", field=name)
        if plain is not value:
            object.__setattr__(options, name, plain)


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


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        items = tuple(map(_plain, value))
        same = isinstance(value, tuple) and all(new is old for new, old in zip(items, value, strict=True))
        return value if same else items
    if isinstance(value, int | float):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def _admits(hint: Any, value: Any) -> bool:
    """Whether a value is of a type; of those that are not known here, everything is."""
    inner = typing.get_args(hint)
    if _is_union(hint):
        return any(_admits(each, value) for each in inner)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        return len(kinds) == len(value) and all(map(_admits, kinds, value))
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    if hint in _WORDS or dataclasses.is_dataclass(hint):
        return isinstance(value, hint)
    return True


def _words(hint: Any) -> str:
    inner = typing.get_args(hint)
    if _is_union(hint):
        return " or ".join(_words(each) for each in inner)
    if typing.get_origin(hint) is tuple:
        many = _PLURALS.get(inner[0]) or _words(inner[0])
        return f"a tuple of {many}" if inner[1:] == (...,) else f"a tuple of {len(inner)} {many}"
    if dataclasses.is_dataclass(hint):
        name = str(getattr(hint, "__name__", hint))
        return f"{_article(name)} {name}(…)"
    return _WORDS.get(hint) or str(getattr(hint, "__name__", hint))


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _article(name: str) -> str:
    return "an" if name[:1] in "AEIOU" else "a"
