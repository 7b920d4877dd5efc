"""Reads the table of one part of a configuration, strictly: what is not understood is named, never ignored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from densecast.errors import BadConfigError

_MISSING: Any = object()
_LARGEST = 1 << 16


class Keys:
    """The keys of one table, each read once; `done` refuses those that nobody read.

    `where` is the path of the table in the configuration, as `model.backbone`.
    """

    def __init__(self, table: Any, where: str) -> None:
        if not isinstance(table, Mapping):
            raise BadConfigError(f"{where} must be a table, got {table!r:.60}.", field="config")
        self._left, self.where = dict(table), where

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def supply(self, values: Mapping[str, Any]) -> None:
        """Give the table keys that stand elsewhere in the configuration; its own go first."""
        self._left = {**values, **self._left}

    def peek(self, name: str) -> Any:
        """The value of a key that somebody else will read; None where it is not there."""
        return self._left.get(name)

    def take(self, name: str, default: Any = _MISSING) -> Any:
        """The value of a key, whatever it is.

        Raises:
            BadConfigError: it is not there, and there is no default.
        """
        value = self._left.pop(name, default)
        if value is _MISSING:
            raise BadConfigError(f"{self.where} lacks {name!r}.", field="config")
        return value

    def integer(self, name: str, default: Any = _MISSING, *, least: int = 1, most: int = _LARGEST) -> int:
        """A whole number within its bounds."""
        value = self.take(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(name, value, f"a whole number, {least} to {most}")
        return value

    def number(self, name: str, default: Any = _MISSING) -> float:
        """A finite number."""
        value = self.take(name, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
            raise self.wrong(name, value, "a number")
        return float(value)

    def flag(self, name: str, default: Any = _MISSING) -> bool:
        """True or False."""
        value = self.take(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, value, "True or False")
        return value

    def word(self, name: str, default: Any = _MISSING) -> str:
        """A text."""
        value = self.take(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, value, "a text")
        return value

    def integers(
        self, name: str, default: Any = _MISSING, *, count: int | None = None, least: int = 1
    ) -> tuple[int, ...]:
        """A list of whole numbers, of `count` where that is said; a single one stands for a list of one."""
        value = self.take(name, default)
        items = value if isinstance(value, (list, tuple)) else (value,)
        good = all(isinstance(item, int) and not isinstance(item, bool) and least <= item <= _LARGEST for item in items)
        if not good or not 1 <= len(items) <= 256 or (count is not None and len(items) != count):
            raise self.wrong(name, value, f"{count or 'some'} whole numbers from {least} on")
        return tuple(items)

    def flags(self, name: str, default: Any, count: int) -> tuple[bool, ...]:
        """A list of so many truth values."""
        value = self.take(name, default)
        if not isinstance(value, (list, tuple)) or len(value) != count or any(not isinstance(v, bool) for v in value):
            raise self.wrong(name, value, f"{count} truth values")
        return tuple(value)

    def table(self, name: str, default: Any = _MISSING) -> Keys:
        """A table inside of this one."""
        return Keys(self.take(name, default), f"{self.where}.{name}")

    def tables(self, name: str) -> list[Keys]:
        """A list of tables, or one."""
        value = self.take(name)
        if not isinstance(value, (list, tuple)):
            return [Keys(value, f"{self.where}.{name}")]
        return [Keys(item, f"{self.where}.{name}[{index}]") for index, item in enumerate(value)]

    def only(self, name: str, *allowed: Any) -> None:
        """Read a key of which densecast knows nothing but these values; the first is its default.

        Raises:
            BadConfigError: it has another.
        """
        value = self.take(name, allowed[0])
        plain = _plain(value)
        if not any(plain == _plain(each) and type(plain) is type(_plain(each)) for each in allowed):
            known = " or ".join(repr(each) for each in allowed)
            raise BadConfigError(
                f"{self.where}.{name} = {value!r:.80} changes the network, and only {known} is built.", field="config"
            )

    def ignore(self, *names: str) -> None:
        """Pass over keys that only training reads."""
        for name in names:
            self._left.pop(name, None)

    def done(self) -> None:
        """Refuse the table if a key was not read.

        Raises:
            BadConfigError: names all of them.
        """
        if self._left:
            names = ", ".join(f"{name} = {value!r:.60}" for name, value in self._left.items())
            raise BadConfigError(f"{self.where} has keys that densecast does not know: {names}.", field="config")

    def wrong(self, name: str, value: object, promise: str) -> BadConfigError:
        """The error for a value that is not what it has to be."""
        return BadConfigError(f"{self.where}.{name} must be {promise}, got {value!r:.80}.", field="config")

    def unknown(self, name: str, value: object, known: Iterable[str]) -> BadConfigError:
        """The error for a part of a kind that densecast does not build."""
        listed = ", ".join(sorted(known))
        return BadConfigError(
            f"{self.where}.{name} = {value!r:.80} is none that densecast builds: {listed}.", field="config"
        )


def _plain(value: Any) -> Any:
    """The value with lists as tuples, so that both are equal."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return tuple(_plain(each) for each in value) if isinstance(value, (list, tuple)) else value
