"""Builds are paced beside those of their own engine alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_report
from made_images import write_jpeg

from densecast.artifact import CompiledArtifact
from densecast.verbs.reproduce.side_by_side import with_pace


def test_a_build_that_is_alone_of_its_engine_is_compared_with_none_of_another(artifacts: Path, tmp_path: Path) -> None:
    built = CompiledArtifact.open(artifacts / "built")
    rows = made_report.report(tmp_path).rows
    pair = [
        (replace(rows[0], backend="onnxruntime"), built),
        (replace(rows[1], backend="openvino", asked="force_float16"), built),
    ]
    found = with_pace(pair, [write_jpeg(tmp_path / "a.jpg", (48, 64))], 1.0, fresh=True)
    assert [row.pace for row, _ in found] == [None, None]
    assert [row.backend for row, _ in found] == ["onnxruntime", "openvino"]
