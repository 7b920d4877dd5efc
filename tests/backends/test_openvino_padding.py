"""A layer that sees padded values beside others, as in UNet's decoder at odd sizes, runs in int8 like the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from densecast.backends import _nncf, _openvino_model, _openvino_runner, openvino
from densecast.spec.options import QuantizeOptions

pytestmark = pytest.mark.quantize
pytest.importorskip("nncf")
ov = pytest.importorskip("openvino")

FEEDS = [{"image": np.random.default_rng(seed).random((1, 3, 24, 32), dtype=np.float32)} for seed in range(4)]


def padded_graph(columns: int) -> onnx.ModelProto:
    """Two convolutions side by side, one padded by so many columns to the other's width; a third sees both."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(16, 3, 3, 3)), "u": rng.normal(size=(16, 3, 3, 3))}
    weights["v"] = rng.normal(size=(16, 32, 3, 3))
    initializers = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    initializers.append(numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 0, columns]), "amounts"))
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["x"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["image", "u"], ["s"], pads=[1, 1, 1, 1 + columns]),
        helper.make_node("Relu", ["s"], ["skip"]),
        helper.make_node("Pad", ["x", "amounts"], ["y"]),
        helper.make_node("Concat", ["skip", "y"], ["both"], axis=1),
        helper.make_node("Conv", ["both", "v"], ["z"]),
    ]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 24, 32])
    output = helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [image], [output], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def padded(columns: int) -> object:
    return _openvino_model.folded(ov.Core().read_model(padded_graph(columns).SerializeToString()))


@pytest.mark.parametrize(("columns", "scheme"), [(0, "asymmetric"), (1, "symmetric")])
def test_ranges_are_symmetric_where_something_is_padded(columns: int, scheme: str, tmp_path: Path) -> None:
    onnx.save(padded_graph(columns), tmp_path / "graph.onnx")
    assert openvino.BACKEND.activation_scheme(tmp_path / "graph.onnx") == scheme


@pytest.mark.parametrize(("activations", "layers"), [("symmetric", 3), ("asymmetric", 2)])
def test_a_pad_ends_int8_unless_ranges_are_symmetric(activations: str, layers: int) -> None:
    int8, _ = _nncf.quantize(
        padded(1), FEEDS, QuantizeOptions(activations=activations, calibration_method="minmax"), full_weights=True
    )
    compiled = ov.Core().compile_model(int8, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert _openvino_runner.read_back(compiled).layers["int8"] == layers
