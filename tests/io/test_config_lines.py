"""The line that says a key is found through names, `**` and base files, as whoever reads the text finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from densecast.io import config_files, config_lines

TEXT = """norm = dict(type='BN')
shared = dict(
    channels=8,
    norm_cfg=norm)
model = dict(
    type='EncoderDecoder',
    backbone={
        'type': 'ResNet',
        'depth': 18},
    decode_head=[
        dict(type='FCNHead', **shared),
        dict(shared,
             type='OCRHead')])
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("model.type", 6),
        ("model.backbone", 7),
        ("model.backbone.depth", 9),
        ("model.decode_head[0].type", 11),
        ("model.decode_head[0].channels", 3),
        ("model.decode_head[1].norm_cfg.type", 1),
        ("model.decode_head[1].type", 13),
        ("model.decode_head[1].absent", 12),
        ("model.absent", 5),
    ],
)
def test_a_key_is_found_where_it_is_written_else_what_holds_it(path: str, line: int) -> None:
    keys = config_lines.path_in(f"{path} must be something else.")
    assert config_lines.line_of(TEXT, keys)[1] == line


def test_what_is_not_written_has_no_line() -> None:
    assert config_lines.line_of(TEXT, ("data", "test")) == (0, 0)
    assert config_lines.path_in("the test pipeline has no end.") == ()
    assert config_lines.path_in("model.neck has keys that densecast does not know: odd = 1.")[-1] == "odd"


def test_of_several_files_the_one_that_says_most_is_named(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("\n\nmodel = dict(backbone=dict(\n    depth=18))\n")
    (tmp_path / "mine.py").write_text("_base_ = './base.py'\nmodel = dict(backbone=dict(style='odd'))\n")
    assert config_lines.in_files(tmp_path / "mine.py", ("model", "backbone", "style")) == ("mine.py", 2)
    assert config_lines.in_files(tmp_path / "mine.py", ("model", "backbone", "depth")) == ("base.py", 4)
    assert config_lines.in_files(tmp_path / "mine.py", ("data",)) is None


def test_a_configuration_names_its_own_place(tmp_path: Path) -> None:
    folder = tmp_path / "configs" / "mine"
    folder.mkdir(parents=True)
    (tmp_path / "configs" / "base.py").write_text("depth = 18\n")
    text = "_base_ = ['{{ fileDirname }}/../base.py']\nname = '{{fileBasenameNoExtension}}{{ fileExtname }}'\n"
    (folder / "here.py").write_text(text)
    assert config_files.read(folder / "here.py") == {"depth": 18, "name": "here.py"}
