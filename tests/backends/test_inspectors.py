"""The inner tensors every engine shows are those ONNX's own evaluator computes, under the same names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from onnx.reference import ReferenceEvaluator

from densecast.backends._base import BACKENDS
from densecast.backends._inspection import Inspector, WeightType
from densecast.graph import transpose_hw
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.options import BuildOptions, InputShape
from densecast.verbs.builder import build

SHAPE = (1, 3, 24, 32)
FEED = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
NODES = ("/stem/stem.0/Conv", "/stem/stem.1/Relu", "/head/Conv")


def graph() -> onnx.ModelProto:
    model = tiny_graphs.segmentation()
    for node, name in zip(model.graph.node, NODES, strict=True):
        node.name = name
    return model


@pytest.fixture(params=["openvino", "onnxruntime", "reference"])
def inspector(request: pytest.FixtureRequest, tmp_path: Path) -> Inspector:
    backend = BACKENDS.load(request.param)
    if backend.capabilities().missing:
        pytest.skip(backend.capabilities().missing)
    source = tiny_artifacts.exported(tmp_path, graph())
    artifact = build(source, tmp_path / "built", BuildOptions(request.param, shape=InputShape((1,), *SHAPE[2:])))
    found: Inspector = backend.inspect(artifact, ExecutionConfig(1), SHAPE)
    return found


def test_tensors_and_layers_are_the_graphs(inspector: Inspector) -> None:
    model = graph()
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in ("sums", "bends"))
    expected = dict(zip(("logits", "sums", "bends"), ReferenceEvaluator(model).run(None, {"image": FEED}), strict=True))
    points = {point.name: point for point in inspector.points}
    assert inspector.points[-1].name == "logits"
    assert [points[name].layer for name in ("sums", "bends")] == ["stem.0", "stem.1"]
    assert points["logits"].layer in ("head", "")  # OpenVINO calls the last node as its output
    found = inspector.run(FEED, ["sums", "bends", "logits"])
    for name, array in found.items():
        # 27 products summed in another order.
        np.testing.assert_allclose(array, expected[name], atol=1e-5)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_tensors_of_a_network_computed_on_its_side_stand_upright(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transpose_hw, "LEAST_ROW", 0)
    model = graph()
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in ("sums", "bends"))
    shape = (1, 3, 32, 276)
    feed = np.random.default_rng(0).random(shape, dtype=np.float32)
    expected = dict(zip(("logits", "sums", "bends"), ReferenceEvaluator(model).run(None, {"image": feed}), strict=True))
    source = tiny_artifacts.exported(tmp_path, graph())
    options = BuildOptions(backend, shape=InputShape((1,), *shape[2:]), graph_passes=("transpose_hw",))
    artifact = build(source, tmp_path / "built", options)
    assert any("height and width transposed" in note for note in artifact.manifest.passes)
    found = BACKENDS.load(backend).inspect(artifact, ExecutionConfig(1), shape).run(feed, ["sums", "bends", "logits"])
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("float32", 1e-8, 1e-6), ("bfloat16", 1e-4, 1e-2), ("int8", 1e-3, 1e-1)]
)
def test_rounded_weights_move_the_output_as_their_format_does(
    inspector: Inspector, kind: WeightType, least: float, most: float
) -> None:
    right = inspector.run(FEED, ["logits"])["logits"]
    moved = inspector.rounded(kind).run(FEED, ["logits"])["logits"]
    assert least < np.linalg.norm(moved - right) / np.linalg.norm(right) < most
    np.testing.assert_array_equal(inspector.run(FEED, ["logits"])["logits"], right)


def test_of_a_layer_only_the_weights_are_moved(tmp_path: Path) -> None:
    # Weights of zero stay what they are in any format: what comes out of the first layer is its bias.
    model = graph()
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    held["w1"].CopyFrom(onnx.numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "w1"))
    source = tiny_artifacts.exported(tmp_path, model)
    artifact = build(source, tmp_path / "built", BuildOptions("onnxruntime", shape=InputShape((1,), *SHAPE[2:])))
    found: Inspector = BACKENDS.load("onnxruntime").inspect(artifact, ExecutionConfig(1), SHAPE)
    sums = found.rounded("float16").run(FEED, ["sums"])["sums"]
    bias = onnx.numpy_helper.to_array(held["b1"]).reshape(1, 8, 1, 1)
    np.testing.assert_array_equal(sums, np.broadcast_to(bias, sums.shape))


def test_weights_are_had_by_node_with_output_channels_first(inspector: Inspector) -> None:
    assert sorted(array.shape for array in inspector.weights().values()) == [(2, 8, 1, 1), (8, 3, 3, 3)]


def test_the_reference_computes_one_inference_at_a_time_in_float32_as_onnx_does(tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path, graph())
    artifact = build(source, tmp_path / "built", BuildOptions("reference", shape=InputShape((1,), *SHAPE[2:])))
    runner = BACKENDS.load("reference").load(artifact, ExecutionConfig(8, 4))
    assert (runner.max_concurrency, runner.reuses_buffers, runner.batch_sizes) == (1, False, None)
    assert runner.precision.compute == "float32"
    (expected,) = ReferenceEvaluator(graph()).run(["logits"], {"image": FEED})
    found = runner.run({"image": FEED})
    np.testing.assert_array_equal(found["logits"], expected)
    assert runner.run({"image": FEED})["logits"] is not found["logits"]
