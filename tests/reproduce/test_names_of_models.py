"""What a run makes of a network is called as its specification says, or as its file."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import tiny_artifacts
import tiny_graphs

from densecast.spec.verb_options import ExportOptions
from densecast.verbs.reproduce import model


@pytest.mark.parametrize(
    ("options", "expected"), [(ExportOptions(), "tiny__float"), (ExportOptions(name="mine"), "mine__float")]
)
def test_the_specifications_name_comes_before_the_files(options: ExportOptions, expected: str, tmp_path: Path) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "some_file.onnx")
    made = model.into(
        tmp_path / "out", tmp_path / "some_file.onnx", model.Described(spec=tiny_artifacts.spec()), options
    )
    assert made.folder.name == expected and made.spec.name == expected.removesuffix("__float")
