"""Pages are written over densecast's own pages only: another file stays as it is, and the verb says so at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import colour_network
import pytest
from command_line import densecast, failed, tree
from made_mask_folders import pairs

from densecast.errors import UsageError
from densecast.report import own_pages

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


@pytest.mark.parametrize(
    "name",
    ["report.html", "report.md", "report.json", "images.csv", "images.parquet", "images/a_image.jpg", "images/a.jpg"],
)
def test_a_run_keeps_files_of_its_reports_names(made: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine", encoding="utf-8")
    before = tree(tmp_path)
    message = failed(2, "run", made / "float", "--data", made / "data", "--out", tmp_path, "-q")
    assert str(tmp_path / Path(name).parts[0]) in message and tree(tmp_path) == before


def test_a_run_goes_on_in_its_own_folder_wherever_it_was_stopped(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a_image.jpg").write_bytes(b"drawn")
    with pytest.raises(UsageError, match="images is there already"):
        own_pages.refuse_other_reports(tmp_path)
    (tmp_path / "net__float").mkdir()
    (tmp_path / "net__float" / "manifest.json").write_text("{}")
    own_pages.refuse_other_reports(tmp_path)
    (tmp_path / "report.json").write_text(json.dumps(dict.fromkeys(("rows", "parity", "spec", "summary"))))
    for name in ("report.md", "images.csv", "images.parquet"):
        (tmp_path / name).write_bytes(b"written before the page")
        own_pages.refuse_other_reports(tmp_path)
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(UsageError, match=r"report\.json is there already"):
        own_pages.refuse_other_reports(tmp_path)
