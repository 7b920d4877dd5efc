"""int8 on ONNX Runtime of graphs as they are found: old opsets, nodes without names, float16, quantised already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import tiny_artifacts
import tiny_graphs
from PIL import Image

from densecast.artifact import Artifact, CompiledArtifact
from densecast.errors import UsageError
from densecast.graph import as_float32
from densecast.runtime import execution
from densecast.session import Session
from densecast.spec.options import BuildOptions, QuantizeOptions
from densecast.verbs.builder import build

QUANTIZE = QuantizeOptions(images=4, calibration_method="minmax", bias_correction="none")
INT8 = BuildOptions(precision="qint8_mixed_float16", backend="onnxruntime", quantize=QUANTIZE)

OLD = """
<ir_version: 6, opset_import: ["" : {opset}]>
old (float[N, 3, H, W] image) => (float[N, 2, H, W] logits)
<float[8, 3, 3, 3] w1 = {{{w1}}}, float[2, 8, 1, 1] w2 = {{{w2}}}>
{{
    sums = Conv <pads = [1, 1, 1, 1]> (image, w1)
    bends = Relu (sums)
    logits = Conv (bends, w2)
}}
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(4):
        rough = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
        rough.resize((64, 48)).save(folder / f"{number}.png")
    return folder


def numbers(count: int, seed: int) -> str:
    return ", ".join(f"{value:.5f}" for value in np.random.default_rng(seed).normal(size=count))


def int8_layers(built: Artifact) -> int:
    assert isinstance(built, CompiledArtifact)
    return sum(count for kind, count in built.manifest.precision_ran.layers.items() if "8" in kind)


@pytest.mark.parametrize("opset", [9, 11, 12])
def test_old_opsets_are_raised_before_they_are_quantised(opset: int, images: Path, tmp_path: Path) -> None:
    graph = onnx.parser.parse_model(OLD.format(opset=opset, w1=numbers(216, 0), w2=numbers(16, 1)))
    built = build(tiny_artifacts.exported(tmp_path, graph), tmp_path / "built", INT8, data=images)
    assert int8_layers(built) == 2


def test_nodes_without_names_are_quantised_all_the_same(images: Path, tmp_path: Path) -> None:
    graph = tiny_graphs.segmentation()
    graph.graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["soft"], axis=1))
    graph.graph.output[0].name = "soft"
    for node in graph.graph.node:
        node.name = ""
    built = build(tiny_artifacts.exported(tmp_path, graph), tmp_path / "built", INT8, data=images)
    assert int8_layers(built) == 2


def halves(way: str) -> onnx.ModelProto:
    """Two convolutions in float16 between casts, or with weights that are cast before each."""
    weights = [np.random.default_rng(seed).normal(size=shape).astype(np.float16) for seed, shape in enumerate(SHAPES)]
    body = {
        "inside": "x = Cast <to = 10> (image) s = Conv <pads = [1, 1, 1, 1]> (x, w1) b = Relu (s) y = Conv (b, w2)"
        " logits = Cast <to = 1> (y)",
        "weights": "v1 = Cast <to = 1> (w1) v2 = Cast <to = 1> (w2) s = Conv <pads = [1, 1, 1, 1]> (image, v1)"
        " b = Relu (s) logits = Conv (b, v2)",
    }[way]
    signature = "(float[N, 3, H, W] image) => (float[N, 2, H, W] logits)"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {signature} {{ {body} }}')
    for name, values in zip(("w1", "w2"), weights, strict=True):
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return model


SHAPES = ((8, 3, 3, 3), (2, 8, 1, 1))


@pytest.mark.parametrize("way", ["inside", "weights"])
def test_graphs_of_float16_are_quantised_from_float32(way: str, images: Path, tmp_path: Path) -> None:
    built = build(tiny_artifacts.exported(tmp_path, halves(way)), tmp_path / "built", INT8, data=images)
    assert int8_layers(built) == 2


@pytest.mark.parametrize("way", ["inside", "weights"])
def test_in_float32_such_a_graph_computes_the_same_with_less_rounding(way: str) -> None:
    model, feed = halves(way), np.random.default_rng(5).uniform(0, 1, (1, 3, 20, 24)).astype(np.float32)
    wide = as_float32.apply(model).model
    onnx.checker.check_model(wide, full_check=True)
    assert [node.op_type for node in wide.graph.node if node.op_type != "Cast"] == ["Conv", "Relu", "Conv"]
    first, second = (
        onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, {"image": feed}
        )[0]
        for each in (model, wide)
    )
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-6 if way == "weights" else 2e-2)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["force_float16", "qint8_mixed_float16"])
def test_quantised_graphs_run_as_they_are_only(backend: str, precision: str, images: Path, tmp_path: Path) -> None:
    text = f"""
    <ir_version: 8, opset_import: ["" : 17]>
    quantised (float[N, 3, H, W] image) => (float[N, 2, H, W] logits)
    <float scale = {{0.01}}, uint8 zero = {{10}}, float[2, 3, 1, 1] w = {{{numbers(6, 0)}}}>
    {{
        steps = QuantizeLinear (image, scale, zero)
        back = DequantizeLinear (steps, scale, zero)
        logits = Conv (back, w)
    }}
    """
    source = tiny_artifacts.exported(tmp_path, onnx.parser.parse_model(text))
    with pytest.raises(UsageError, match="quantised already") as refused:
        build(source, tmp_path / "built", BuildOptions(precision=precision, backend=backend), data=images)  # type: ignore[arg-type]
    assert refused.value.field == "precision"
    assert not (tmp_path / "built").exists()


def test_the_graph_whose_types_were_read_back_runs_as_it_is(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optimised once more it could be another graph than the one that is told of."""
    levels = []
    real = onnxruntime.InferenceSession

    def opened(model: Any, options: Any = None, **more: Any) -> Any:
        levels.append(options.graph_optimization_level)
        return real(model, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    with Session.open(CompiledArtifact.open(artifacts / "built"), execution.configure("latency")):
        assert levels[-1] == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
