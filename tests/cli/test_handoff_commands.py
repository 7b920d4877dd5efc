"""`densecast handoff` from end to end, as its user types it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import made_coco
import made_report
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from command_line import densecast, failed

from densecast import report
from densecast.verbs.export import export_file


def made_report_of(folder: Path, metric: str) -> None:
    """A report of the pose network, its numbers made up."""
    made = made_report.report(folder)
    rows = tuple(replace(row, score=replace(row.score, name=metric)) for row in made.rows)
    report.write(replace(made, spec=tiny_artifacts.pose_spec(), rows=rows), folder)


@pytest.mark.slow
def test_prepare_simulate_collect(tmp_path: Path) -> None:
    data = made_coco.folder(tmp_path / "data", ("val",))
    onnx.save(tiny_graphs.pose(), tmp_path / "pose.onnx")
    export_file(tmp_path / "pose.onnx", tiny_artifacts.pose_spec(), tmp_path / "float")
    folder, out = tmp_path / "handoff", tmp_path / "result"
    made = densecast(
        "handoff", "prepare", tmp_path / "float", "--out", folder, "--data", data, "--processes", "1", "--json", "-"
    )
    assert made.code == 0, made.err
    assert json.loads(made.out)["hardware"] == "not run on hardware"
    ran = densecast("handoff", "simulate", folder, "--out", out, "--tool", "ais_bench")
    assert ran.code == 0, ran.err
    found = densecast("handoff", "collect", folder, out, "--data", data, "--json", tmp_path / "score.json")
    assert found.code == 0, found.err
    score = json.loads((tmp_path / "score.json").read_text())
    assert score["score"]["count"] == 8 and score["performance"]
    same = tmp_path / "score.json"
    assert densecast("compare", "results", same, same, "--tolerance", "AP=0").code == 0
    made_report_of(tmp_path / "run", score["score"]["name"])
    given = ("handoff", "collect", folder, out, "--data", data, "--report")
    reported = densecast(*given, tmp_path / "run")
    assert reported.code == 0, reported.err
    assert "NPU_compute_time mean" in (tmp_path / "run/report.md").read_text(encoding="utf-8")
    assert "holds no report.json" in failed(3, *given, tmp_path / "handoff")
    assert "benchmark" in failed(2, "handoff", "rehearse", folder, "--out", out, "--tool", "bench")  # its old name
    assert "no handoff" in failed(3, "handoff", "collect", tmp_path, out)
    assert failed(2, "handoff", "prepare", tmp_path / "float", "--out", folder, "--output", "int16").startswith(
        "--output"
    )
