"""Bounds checks for network options, which come from files: applied before anything is allocated."""

from __future__ import annotations

from densecast.errors import BadConfigError


def require_int(name: str, value: object, low: int, high: int) -> None:
    """Check that option `name` is a whole number within [low, high].

    Raises:
        BadConfigError: it is not; a bool is not a number here.
    """
    if type(value) is not int or not low <= value <= high:
        raise BadConfigError(f"network option '{name}' must be a whole number from {low} to {high}, got {value!r}.")


def require_ints(name: str, value: object, length: int, low: int, high: int) -> None:
    """Check that option `name` is a tuple of `length` whole numbers, each within [low, high].

    Raises:
        BadConfigError: it is not.
    """
    if not isinstance(value, tuple) or len(value) != length:
        raise BadConfigError(
            f"network option '{name}' must be {length} whole numbers, each from {low} to {high}, got {value!r}."
        )
    for item in value:
        require_int(name, item, low, high)
