"""A report or an artifact from somebody else pulls in nothing, runs nothing, and is refused in words when changed."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
from command_line import failed
from made_images import write_jpeg

from densecast.artifact import Artifact
from densecast.errors import BadArtifactError, BadInputError
from densecast.report import markdown, page


@pytest.mark.parametrize("name", ["../secret.jpg", "link.jpg", "{outside}", "notes.txt", "absent.jpg"])
def test_only_pictures_of_the_reports_own_folder_are_embedded(name: str, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    from dataclasses import replace

    from made_report import report

    from densecast.report.data import DrawnImage

    folder = tmp_path / "report"
    folder.mkdir()
    secret = write_jpeg(tmp_path / "secret.jpg")
    (folder / "link.jpg").symlink_to(secret)
    (folder / "notes.txt").write_text("precious")
    named = name.format(outside=secret)
    foreign = replace(report(folder), images=(DrawnImage("a", "why", {"title": named}, {}),))
    with pytest.raises(BadInputError, match="picture"):
        page.render(foreign, folder)


def test_rows_with_different_related_scores_and_classes_are_shown_beside_each_other(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    from dataclasses import replace

    from made_report import report

    made = report(tmp_path)
    scores = (
        {"others": {"only here": 0.125}, "per_class": {"iou": {"a": 0.25}}},
        {"others": {"and there": 0.375}, "per_class": None},
        {"others": {}, "per_class": {"iou": {"b": 0.5}}},
    )
    rows = [
        replace(row, score=replace(row.score, **more)) for row, more in zip(made.rows, itertools.cycle(scores))
    ]  # fmt: skip
    for order in (rows, rows[::-1]):
        foreign = replace(made, rows=tuple(order))
        text, html = markdown.render(foreign), page.render(foreign, tmp_path)
        for words in ("only here", "and there"):
            assert words in text and words in html
        assert "12.50" in text or "0.125" in text


def test_names_and_labels_begin_no_html_code_or_link() -> None:
    text = markdown.escaped(markdown.table(["a|b", "n"], [["<img src=x>", "`x` [y](z)"], ["two\nlines", "c"]], "<<"))
    assert "<" not in text.replace("&lt;", "")
    assert r"a\|b" in text and r"\`x\` \[y](z)" in text
    assert len(text.splitlines()) == 4


def test_a_changed_manifest_is_refused(artifacts: Path, tmp_path: Path) -> None:
    shutil.copytree(artifacts / "built", tmp_path / "built")
    path = tmp_path / "built" / "manifest.json"
    plain = json.loads(path.read_text())
    plain["spec"]["labels"][0] = "changed"
    path.write_text(json.dumps(plain))
    with pytest.raises(BadArtifactError, match="digest"):
        Artifact.open(tmp_path / "built")
    assert "manifest.json is not as it was written" in failed(3, "verify", tmp_path / "built")


def test_a_manifest_without_a_digest_or_laid_out_otherwise_is_read(artifacts: Path, tmp_path: Path) -> None:
    shutil.copytree(artifacts / "built", tmp_path / "built")
    path = tmp_path / "built" / "manifest.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps(plain, sort_keys=True))
    whole = Artifact.open(tmp_path / "built").manifest
    del plain["manifest_sha256"]
    path.write_text(json.dumps(plain))
    assert Artifact.open(tmp_path / "built").manifest == whole
