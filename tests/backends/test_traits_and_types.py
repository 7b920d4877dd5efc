"""What is known of engines without loading them, and the types that are read back from an optimised graph."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from densecast.backends import _ort_listed
from densecast.backends._base import BACKENDS, Traits
from densecast.spec.tensor import Dim, TensorSpec

PLAIN = {"device_kinds": ("cpu",), "calibration_methods": (), "merged_methods": (), "corrects_biases": False,
         "settles": False, "survives_fork": True, "targets_cpus": False}  # fmt: skip
# Only what differs from the plainest engine.
TRAITS: dict[str, dict[str, Any]] = {
    "reference": {"package": "onnx"},
    "torch": {"package": "torch", "survives_fork": False},
    "onnxruntime": {
        "package": "onnxruntime", "device_kinds": ("cpu", "cuda", "tensorrt", "cann"),
        "settles": True, "targets_cpus": True,
        "calibration_methods": ("mean_minmax", "minmax"),
    },
    "openvino": {
        "package": "openvino", "calibration_methods": ("mean_minmax", "minmax", "histogram", "percentile"),
        "merged_methods": ("mean_minmax", "minmax", "percentile"), "corrects_biases": True, "settles": True,
        "survives_fork": False, "targets_cpus": True,
    },
    "ascend": {"package": "ais_bench", "device_kinds": ("npu",)},
    "magicmind": {"package": "magicmind", "device_kinds": ("mlu",)},
}  # fmt: skip


@pytest.mark.parametrize("name", TRAITS)
def test_each_engine_has_these_traits(name: str) -> None:
    traits = BACKENDS.load(name).traits
    found = {each.name: getattr(traits, each.name) for each in fields(Traits)}
    assert found == {**PLAIN, **TRAITS[name]}


def graph(*nodes: onnx.NodeProto, **types: int) -> onnx.ModelProto:
    """The nodes, and tensors of these types: weights where their name begins with w."""
    weights = [
        numpy_helper.from_array(np.zeros((2, 2, 1, 1), helper.tensor_dtype_to_np_dtype(kind)), name)
        for name, kind in types.items()
        if name[0] == "w"
    ]
    values = [helper.make_tensor_value_info(name, kind, None) for name, kind in types.items() if name[0] != "w"]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    return helper.make_model(helper.make_graph(list(nodes), "g", [], outputs, weights, value_info=values))


def node(kind: str, *inputs: str) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), ["y"])


def test_layers_count_by_the_type_that_they_read() -> None:
    ran = _ort_listed.read_back(
        graph(
            node("Conv", "x", "w1"), node("Conv", "x", "w16"), node("MatMul", "h", "unknown"), node("Gemm", "?", "??"),
            node("QLinearConv", "x", "w1"), node("MatMulInteger", "x", "w1"), node("Relu", "x"),
            node("Conv", "h", "w1"),
            w1=TensorProto.FLOAT, w16=TensorProto.FLOAT16, x=TensorProto.FLOAT, h=TensorProto.FLOAT16,
        )
    )  # fmt: skip
    assert ran.layers == {"float32": 3, "float16": 2, "int8": 2}
    assert ran.source == "ONNX Runtime optimised graph"


def test_layers_of_a_model_are_int8_where_the_optimised_graph_multiplies_whole_numbers() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N, 2, H, W] x) => (float[N, 2, h, w] y) '
        "{ m = Conv (x, w1) y = Conv (m, w2) }"
    )
    for name in ("w1", "w2"):
        model.graph.initializer.append(numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), name))
    spec = TensorSpec("x", "float32", (Dim("N", 1, 4), 2, Dim("H", 4, 64), Dim("W", 4, 64)))
    optimised = graph(
        node("QLinearConv", "x", "w1"), node("Conv", "x", "w2"), w1=TensorProto.FLOAT, w2=TensorProto.FLOAT
    )
    first, second = _ort_listed.layers(model, optimised, (spec,), (2, 2, 8, 6))
    assert (first.precision, second.precision) == ("int8", "float32")
    assert first.output_shape == (2, 2, 8, 6) and first.macs == 2 * 2 * 2 * 8 * 6 and first.parameters == 4
