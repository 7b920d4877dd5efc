"""`densecast handoff` from end to end, as its user types it."""

from __future__ import annotations

import json
from pathlib import Path

import made_coco
import onnx
import tiny_artifacts
import tiny_graphs
from command_line import densecast, failed

from densecast.export import export_file


def test_prepare_rehearse_collect(tmp_path: Path) -> None:
    data = made_coco.folder(tmp_path / "data", ("val",))
    onnx.save(tiny_graphs.pose(), tmp_path / "pose.onnx")
    export_file(tmp_path / "pose.onnx", tiny_artifacts.pose_spec(), tmp_path / "float")
    folder, out = tmp_path / "handoff", tmp_path / "result"
    made = densecast(
        "handoff", "prepare", tmp_path / "float", "--out", folder, "--data", data, "--processes", "1", "--json", "-"
    )
    assert made.code == 0, made.err
    assert json.loads(made.out)["hardware"] == "not run on hardware"
    ran = densecast("handoff", "rehearse", folder, "--out", out, "--tool", "ais_bench")
    assert ran.code == 0, ran.err
    found = densecast("handoff", "collect", folder, out, "--data", data, "--json", tmp_path / "score.json")
    assert found.code == 0, found.err
    score = json.loads((tmp_path / "score.json").read_text())
    assert score["score"]["count"] == 8 and score["performance"]
    same = tmp_path / "score.json"
    assert densecast("compare", "results", same, same, "--tolerance", "AP=0").code == 0
    assert "benchmark" in failed(2, "handoff", "rehearse", folder, "--out", out, "--tool", "bench")
    assert "no handoff" in failed(3, "handoff", "collect", tmp_path, out)
    assert "ending" in failed(2, "handoff", "prepare", tmp_path / "float", "--out", folder, "--output", "int16")
