"""The case by which a contract tries a plug-in: a plug-in without one fails the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import pytest

Case = TypeVar("Case")


def case_of(cases: Mapping[str, Case], kind: str, name: str) -> Case:
    """The case of plug-in `kind/name.py`; the test fails, and says what to add, where there is none."""
    if name not in cases:
        pytest.fail(f"{kind}/{name}.py is held to no contract: add {name!r} to CASES in test_{kind}_contract.py")
    return cases[name]
