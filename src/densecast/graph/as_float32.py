"""Computes a graph of other floats in float32, for tools that only know float32."""

from __future__ import annotations

import copy

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from densecast.graph import _tensors
from densecast.graph._base import PassResult

HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
DOUBLES = (TensorProto.DOUBLE,)
# Attributes that name the type of a result.
_TYPES = ("to", "dtype")


def apply(model: onnx.ModelProto, types: tuple[int, ...] = HALVES) -> PassResult:
    """Make all tensors of the `types`, 16-bit floats or float64, float32, and drop the casts that then do nothing.

    The values of weights of 16 bits stay what they are, and sums are no longer rounded to 16 bits.
    """
    words = "float64" if types == DOUBLES else "16-bit floats"
    if not any(_has(graph, types) for graph in _tensors.graphs(model.graph)):
        return PassResult(model, False, f"no tensor is of {words}")
    changed = copy.deepcopy(model)
    for graph in _tensors.graphs(changed.graph):
        _change(graph, types)
    _drop_casts(changed)
    return PassResult(changed, True, f"what was computed in {words} is computed in float32")


def _has(graph: onnx.GraphProto, types: tuple[int, ...]) -> bool:
    has_weights = any(tensor.data_type in types for tensor in graph.initializer)
    return has_weights or any(
        (each.name in _TYPES and each.i in types) or (each.HasField("t") and each.t.data_type in types)
        for node in graph.node
        for each in node.attribute
    )


def _change(graph: onnx.GraphProto, types: tuple[int, ...]) -> None:
    tensors = [*graph.initializer]
    for node in graph.node:
        for each in node.attribute:
            if each.name in _TYPES and each.i in types:
                each.i = TensorProto.FLOAT
            if each.HasField("t"):
                tensors.append(each.t)
    for tensor in tensors:
        if tensor.data_type in types:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in types:
            value.type.tensor_type.elem_type = TensorProto.FLOAT


def _drop_casts(model: onnx.ModelProto) -> None:
    """Take out, in place, what casts float32 to float32: a quantiser looks for a layer's weights right before it."""
    graph = model.graph
    known = onnx.shape_inference.infer_shapes(model).graph
    floats = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    for value in (*known.input, *known.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            floats.add(value.name)
    needed = {value.name for value in graph.output}
    for node in [*graph.node]:
        is_cast = node.op_type == "Cast" and _tensors.attribute(node, "to", 0) == TensorProto.FLOAT
        if is_cast and node.input[0] in floats and node.output[0] not in needed:
            graph.node.remove(node)
            _tensors.rename(graph, node.output[0], node.input[0])
