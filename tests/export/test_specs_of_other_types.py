"""What may be given as a spec: a table of a spec file's keys, a file, or one of both kinds of spec; nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_specs

from densecast.errors import BadConfigError, UsageError
from densecast.spec.preprocess import Native, Preprocess
from densecast.verbs.export import described
from densecast.verbs.export.spec_file import SpecFile


@pytest.mark.parametrize("spec", [5, 1.5, b"a.toml", ["labels"], ("a",), {"labels"}, object(), True])
def test_what_is_no_spec_is_refused_by_its_type(spec: Any) -> None:
    with pytest.raises(
        UsageError, match=f"spec must be a spec file's path or contents, .* got {type(spec).__name__}"
    ) as error:
        described.given(spec)
    assert error.value.field == "spec"


def test_what_is_one_comes_with_the_keys_that_are_said(tmp_path: Path) -> None:
    assert described.given(None) == (None, frozenset())
    model = tiny_specs.segmentation()
    assert described.given(model) == (model, frozenset())
    table = {"labels": ["a", "b"], "preprocess": {"resize": {"kind": "native"}}}
    found, keys = described.given(table)
    assert isinstance(found, SpecFile) and found.labels == ("a", "b") and keys == {"labels", "preprocess"}
    path = tmp_path / "a.toml"
    path.write_text('labels = ["a", "b"]\n[preprocess.resize]\nkind = "native"\n')
    for given in (path, str(path)):
        assert described.given(given) == (given, {"labels", "preprocess"})
    spec = SpecFile(("a", "b"), Preprocess(Native()))
    assert described.given(spec)[0] is spec and "labels" in described.given(spec)[1]
    with pytest.raises(BadConfigError):
        described.given({"lables": ["a"]})
