"""Without a map of lines, the mutation run finds tests by what they import, however often a name is handed on."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

MUTATION = Path(__file__).parent / "mutation"
SOURCES = {
    "__init__": "from densecast.shapes.inner import area",
    "shapes/__init__": "from densecast.shapes.public import volume as volume",
    "shapes/inner": "def area(): ...\ndef length(): ...",
    "shapes/public": "from densecast.shapes.deep import volume",
    "shapes/deep": "def volume(): ...",
    "shapes/_base": "FOUND = {}",
    "shapes/named": "from densecast.shapes._base import FOUND",
    "far": "from densecast.shapes.deep import volume as volume_of",
}
TESTS = {
    "test_direct": "from densecast.shapes.inner import length",
    "test_by_the_front": "from densecast import area",
    "test_by_the_package": "from densecast.shapes import volume",
    "test_by_an_attribute": "import densecast.shapes\ndensecast.shapes.volume()",
    "test_renamed": "from densecast.far import volume_of as found",
    "test_by_a_text": "PLACE = 'densecast.shapes.public:volume'",
    "test_of_the_finder": "from densecast.shapes._base import FOUND",
    "test_of_nothing": "import json",
}


@pytest.fixture
def chosen_tests(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(MUTATION))
    found = importlib.util.spec_from_file_location("chosen_tests", MUTATION / "chosen_tests.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "chosen_tests", module)
    found.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, texts in (("src/densecast", SOURCES), ("tests", TESTS)):
        for name, text in texts.items():
            path = tmp_path / folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return tmp_path


def names(chosen: list[str]) -> set[str]:
    return {Path(each).stem for each in chosen}


def test_a_name_that_is_handed_on_counts_where_it_is_defined(root: Path, chosen_tests: ModuleType) -> None:
    near = chosen_tests.NearTests(root, 10)
    handed_on = {"test_by_the_package", "test_by_an_attribute", "test_renamed", "test_by_a_text"}
    assert handed_on <= names(near.choose("src/densecast/shapes/deep.py", 1, 1.0))
    first = near.choose("src/densecast/shapes/inner.py", 1, 1.0)[:2]
    assert names(first) == {"test_direct", "test_by_the_front"}


def test_a_plug_in_that_nothing_imports_is_tested_by_who_knows_its_finder(root: Path, chosen_tests: ModuleType) -> None:
    found = chosen_tests.NearTests(root, 10).choose("src/densecast/shapes/named.py", 1, 1.0)
    assert names(found) == {"test_of_the_finder"}


def test_nearly_every_stated_change_fits_the_source_once() -> None:
    """Code moves; the few that have moved are told by the run itself, and put right with the next."""
    root, moved = MUTATION.parents[1], []
    stated = json.loads((MUTATION / "audited.json").read_text(encoding="utf-8"))
    for each in stated:
        assert each["became"] != each["was"]
        file = root / each["path"]
        if not file.is_file() or file.read_text(encoding="utf-8").count(each["was"]) != 1:
            moved.append(each)
    assert len(moved) <= len(stated) // 16, moved
