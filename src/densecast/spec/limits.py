"""Compares measured quantities with stated limits; every gate uses it."""

from __future__ import annotations

import math

from densecast.errors import UsageError


def is_at_most(name: str, measured: float | None, limit: float) -> bool:
    """Whether `measured` is at most `limit`. NaN is beyond every limit.

    >>> is_at_most("--max-drop", 0.004, 0.005), is_at_most("--max-drop", float("nan"), 0.005)
    (True, False)

    Raises:
        UsageError: `measured` is None: the limit called `name` is on something that was not measured.
    """
    return _measured(name, measured) <= limit


def is_at_least(name: str, measured: float | None, limit: float) -> bool:
    """Whether `measured` is at least `limit`. NaN is beyond every limit.

    Raises:
        UsageError: `measured` is None: the limit called `name` is on something that was not measured.
    """
    return _measured(name, measured) >= limit


def check_stated(name: str, limit: float | None) -> None:
    """Check that a limit, if there is one, is a number.

    Raises:
        UsageError: it is none.
    """
    if limit is not None and math.isnan(limit):
        raise UsageError(f"{name} must be a number, got {limit}.")


def _measured(name: str, value: float | None) -> float:
    if value is None:
        raise UsageError(f"{name} limits something that was not measured. Measure it, or leave the limit out.")
    return value
