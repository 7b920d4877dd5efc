"""Reads back what ONNX Runtime runs: the number types of a graph's layers, from the graph that it has optimised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from densecast.graph import _layers as graph_layers
from densecast.spec.layer import Layer
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import TensorSpec

# Operators that hold nearly all of a network's arithmetic, before and after ONNX Runtime's own fusions.
_FLOAT_OPERATORS = {"Conv", "FusedConv", "ConvTranspose", "MatMul", "Gemm", "FusedMatMul", "FusedGemm"}
_INT8_OPERATORS = {
    "QLinearConv",
    "QLinearMatMul",
    "QGemm",
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeMatMul",
}
_INT8_OPERATORS = {
    "QLinearConv",
    "QLinearMatMul",
    "QGemm",
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeMatMul",
}
_TYPES = {1: "float32", 10: "float16", 16: "bfloat16", 11: "float64"}


def layers(model: Any, optimised: Any, inputs: Sequence[TensorSpec], shape: Sequence[int]) -> tuple[Layer, ...]:
    """The layers of `model` at a shape of its first input; `optimised` is what ONNX Runtime makes of it."""
    whole = {name for node in optimised.graph.node if node.op_type in _INT8_OPERATORS for name in node.input}
    others = (replace(each, shape=each.typical_shape(shape[-1], shape[0])) for each in inputs[1:])
    fixed = graph_layers.fixed(model, (replace(inputs[0], shape=tuple(shape)), *others))
    return graph_layers.layers_of(fixed, lambda weight, dtype: "int8" if weight in whole else "float32")


def read_back(model: Any) -> PrecisionRan:
    """Count the types of the optimised graph's convolutions and matrix products, by their inputs."""
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    types.update({value.name: value.type.tensor_type.elem_type for value in model.graph.value_info})
    layers: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type in _INT8_OPERATORS:
            layers["int8"] += 1
        elif node.op_type in _FLOAT_OPERATORS:
            known = next((types[name] for name in reversed(node.input[:2]) if name in types), 1)
            layers[_TYPES.get(known, "float32")] += 1
    return PrecisionRan.from_counts(dict(layers), "ONNX Runtime optimised graph")
