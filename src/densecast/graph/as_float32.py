"""Computes a graph of float16 or bfloat16 in float32, for tools that only know float32."""

from __future__ import annotations

import copy

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from densecast.graph import _tensors
from densecast.graph._base import PassResult

_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
# Attributes that name the type of a result.
_TYPES = ("to", "dtype")


def apply(model: onnx.ModelProto) -> PassResult:
    """Make all tensors of 16-bit floats float32, and drop the casts that then do nothing.

    The values of weights stay what they are; sums are no longer rounded to 16 bits.
    """
    if not any(_is_half(graph) for graph in _tensors.graphs(model.graph)):
        return PassResult(model, False, "no tensor is of 16-bit floats")
    changed = copy.deepcopy(model)
    for graph in _tensors.graphs(changed.graph):
        _widen(graph)
    _drop_casts(changed)
    return PassResult(changed, True, "what was computed in 16-bit floats is computed in float32")


def _is_half(graph: onnx.GraphProto) -> bool:
    has_weights = any(tensor.data_type in _HALVES for tensor in graph.initializer)
    return has_weights or any(
        (each.name in _TYPES and each.i in _HALVES) or (each.HasField("t") and each.t.data_type in _HALVES)
        for node in graph.node
        for each in node.attribute
    )


def _widen(graph: onnx.GraphProto) -> None:
    tensors = [*graph.initializer]
    for node in graph.node:
        for each in node.attribute:
            if each.name in _TYPES and each.i in _HALVES:
                each.i = TensorProto.FLOAT
            if each.HasField("t"):
                tensors.append(each.t)
    for tensor in tensors:
        if tensor.data_type in _HALVES:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type in _HALVES:
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
