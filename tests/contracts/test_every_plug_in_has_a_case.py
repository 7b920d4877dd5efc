"""What is new is held to its contract: without a case, a plug-in fails it."""

from __future__ import annotations

import pytest
from contract_cases import case_of


@pytest.mark.parametrize("kind", ["datasets", "graph", "metrics", "tasks"])
def test_a_plug_in_without_a_case_fails_and_is_told_what_to_add(kind: str) -> None:
    assert case_of({"old": 3}, kind, "old") == 3
    with pytest.raises(pytest.fail.Exception, match=rf"{kind}/new\.py .* add 'new' to CASES in test_{kind}_contract"):
        case_of({"old": 3}, kind, "new")
