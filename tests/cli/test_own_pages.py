"""Pages are written over densecast's own pages only: another file stays as it is, and the verb says so at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import colour_network
import pytest
from command_line import densecast, failed, tree
from made_mask_folders import pairs

pytest.importorskip("jinja2")

Call = Callable[[Path, Path], list[str | Path]]
FOREIGN = ("<!doctype html><html><head><title>My notes</title></head><body>densecast</body></html>", "plain text")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`float` and `built`, and `data` with pictures and masks."""
    folder = tmp_path_factory.mktemp("pages")
    colour_network.built(folder, 3)
    pairs(folder / "data", count=3)
    return folder


def check(made: Path, page: Path) -> list[str | Path]:
    return ["data", "check", made / "data", "--html", page, "-q"]


def compare(made: Path, page: Path) -> list[str | Path]:
    images = made / "data" / "images"
    return ["compare", made / "built", made / "built", "--images", images, "--html", page, "-q"]


def report(made: Path, page: Path) -> list[str | Path]:
    return ["report", made / "built", "--html", page, "-q"]


@pytest.mark.parametrize("call", [check, compare, report])
def test_only_own_pages_are_replaced(
    made: Path, tmp_path: Path, call: Callable[[Path, Path], list[str | Path]]
) -> None:
    page = tmp_path / "page.html"
    for text in FOREIGN:
        page.write_text(text, encoding="utf-8")
        assert "densecast did not write it" in failed(2, *call(made, page))
        assert page.read_text(encoding="utf-8") == text
    assert "is a folder" in failed(2, *call(made, tmp_path))
    page.write_text("", encoding="utf-8")  # as `mktemp` makes it
    for _ in range(2):
        assert densecast(*call(made, page)).code in (0, 1)
        assert 'name="generator"' in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["report.html", "report.md", "report.json"])
def test_a_run_keeps_files_of_its_reports_names(made: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine", encoding="utf-8")
    before = tree(tmp_path)
    message = failed(2, "run", made / "float", "--data", made / "data", "--out", tmp_path, "-q")
    assert str(tmp_path / name) in message and tree(tmp_path) == before
