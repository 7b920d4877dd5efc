"""`benchmark --layers` times what the engine runs, under the network's own names, and counts its arithmetic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from command_line import densecast, failed

from densecast.artifact import CompiledArtifact
from densecast.backends import _openvino_profile
from densecast.runtime.roofline import Peaks
from densecast.spec.options import BuildOptions, InputShape

HEIGHT, WIDTH = 24, 32


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    model = tiny_graphs.segmentation()
    for node in model.graph.node:
        node.name = f"/net/{node.output[0]}/{node.op_type}"  # as torch's exporter names a module's
    return model


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, graph: onnx.ModelProto) -> CompiledArtifact:
    options = BuildOptions("openvino", shape=InputShape(height=HEIGHT, width=WIDTH))
    compiled = tiny_artifacts.compiled(tmp_path_factory.mktemp("layers"), options, graph)
    assert isinstance(compiled, CompiledArtifact)
    return compiled


def _macs(graph: onnx.ModelProto) -> int:
    """Of all convolutions, from the shapes that ONNX infers for the size."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(graph)
    for size, value in zip(fixed.graph.input[0].type.tensor_type.shape.dim, (1, 3, HEIGHT, WIDTH), strict=True):
        size.dim_value = value
    inferred = onnx.shape_inference.infer_shapes(fixed).graph
    shapes = {
        each.name: [size.dim_value for size in each.type.tensor_type.shape.dim]
        for each in (*inferred.value_info, *inferred.output)
    }
    weights = {each.name: list(each.dims) for each in inferred.initializer}
    convolutions = [node for node in inferred.node if node.op_type == "Conv"]
    assert convolutions
    return sum(int(np.prod(shapes[node.output[0]][2:])) * int(np.prod(weights[node.input[1]])) for node in convolutions)


def test_arithmetic_names_and_types_are_those_of_the_network(
    built: CompiledArtifact, graph: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = Peaks({"float32": 1e11}, 1e10, 1, "a CPU")
    monkeypatch.setattr(_openvino_profile, "peaks", lambda threads: peaks)
    plot, answer = tmp_path / "layers.svg", tmp_path / "found.json"
    command = ["benchmark", str(built.folder), "--count", "1", "--seconds", "0", "--warm-up", "0", "--layers", "-q"]
    for _ in range(2):  # the second time over the files of the first
        ended = densecast(*command, "--layers-plot", plot, "--json", answer)
        assert ended.code == 0, ended.err
    found = json.loads(answer.read_text())["roofline"]
    assert found["macs"] == _macs(graph)
    convolutions = [each for each in found["layers"] if each["macs"]]
    assert {each["type"] for each in convolutions} == {"float32"}
    # OpenVINO calls what makes an output by the output's name.
    assert [each["name"] for each in convolutions] == ["net.sums", "logits"]
    assert "/net/sums/Conv" in convolutions[0]["nodes"]
    for each in convolutions:
        least_s = max(each["macs"] / 1e11, each["bytes"] / 1e10)
        assert each["least_ms"] == pytest.approx(least_s * 1e3) and each["ms"] > 0
        assert each["share"] == pytest.approx(each["least_ms"] / each["ms"])
    assert "at the roofline" in ended.out and plot.read_text().startswith("<svg")


def test_what_cannot_be_timed_or_drawn_is_refused_before_anything_runs(
    built: CompiledArtifact, tmp_path: Path, graph: onnx.ModelProto
) -> None:
    options = BuildOptions("onnxruntime", shape=InputShape(height=HEIGHT, width=WIDTH))
    other = tiny_artifacts.compiled(tmp_path, options, graph)
    assert "--layers" in failed(2, "benchmark", other.folder, "--layers")
    assert "--layers" in failed(2, "benchmark", built.folder, "--layers-plot", tmp_path / "a.svg")
    mine = tmp_path / "mine.svg"
    for text in ("my own notes", '<svg xmlns="http://www.w3.org/2000/svg"/>'):
        mine.write_text(text)
        assert "already" in failed(2, "benchmark", built.folder, "--layers", "--layers-plot", mine)
        assert mine.read_text() == text


@pytest.mark.slow
def test_this_machine_s_peaks_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path))
    found = _openvino_profile.peaks(1)
    assert found.macs_per_s["float32"] > 1e8 and found.macs_per_s["int8"] > 1e8 and found.bytes_per_s > 1e8
    if not found.load.is_too_high:
        assert _openvino_profile.peaks(1) == found
