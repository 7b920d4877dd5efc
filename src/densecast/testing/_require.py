"""Assertion helpers for the checks, and comparisons that treat NaN as a value."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping

import numpy as np

from densecast.spec.tensor import Array


def require(condition: bool, sentence: str) -> None:
    """Fail the check with a sentence unless the condition holds.

    Raises:
        AssertionError: it does not hold.
    """
    if not condition:
        raise AssertionError(sentence)


def equal(left: Mapping[str, Array], right: Mapping[str, Array]) -> bool:
    """Whether two sets of named arrays are the same to the last bit."""
    return set(left) == set(right) and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and np.ascontiguousarray(left[name]).tobytes() == np.ascontiguousarray(right[name]).tobytes()
        for name in left
    )


def contents(value: object) -> bytes:
    """An object's contents as bytes, to detect modification."""
    return pickle.dumps(value)


def is_frozen(kind: type) -> bool:
    """Whether this is a dataclass whose fields cannot be set."""
    parameters = getattr(kind, "__dataclass_params__", None)
    return dataclasses.is_dataclass(kind) and bool(getattr(parameters, "frozen", False))
