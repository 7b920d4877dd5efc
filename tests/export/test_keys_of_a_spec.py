"""What stands in a spec file, or in a table of its keys, is said; what an empty one would mean is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from densecast.spec.preprocess import Native, Preprocess
from densecast.verbs.export import described
from densecast.verbs.export.spec_file import SpecFile

DEFAULT: dict[str, Any] = {"preprocess": {"resize": {"kind": "native"}}}


@pytest.mark.parametrize("said", [DEFAULT, {"labels": ["a"], "palette": [[1, 2, 3]]}, {}])
def test_a_table_and_a_file_say_the_same_keys(said: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(said), encoding="utf-8")
    assert described.given(said)[1] == described.given(tmp_path / "spec.json")[1] == frozenset(said)


def test_of_an_object_the_fields_that_differ_from_an_empty_one_are_said() -> None:
    assert described.given(SpecFile(("a", "b")))[1] == {"labels"}


@pytest.mark.parametrize(("said", "expected"), [(DEFAULT, Preprocess(Native())), ({"labels": ["a", "b"]}, None)])
def test_a_zoo_models_preprocessing_gives_way_where_one_is_said(
    said: dict[str, Any], expected: Preprocess | None
) -> None:
    spec, keys = described.given(said)
    assert described.stated(spec, None, None, keys).preprocess == expected
