"""Float graphs with the rounding of smaller types put in, which say what such a build may change."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from densecast.graph import _edit, _tensors

F32 = npt.NDArray[np.float32]

# Operators that int8 builds quantise, with the axis of the weight's output channels.
_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": -1}
# Since then there is an operator that takes the range from the values that it sees.
_HAS_DYNAMIC = 11


def weights_of_bits(model: onnx.ModelProto, bits: int) -> onnx.ModelProto:
    """The graph with float weights of so many significant bits, the implicit one included."""
    rounded = copy.deepcopy(model)
    for tensor in rounded.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            fraction, exponent = np.frexp(np.asarray(values, np.float64))
            nearest = np.ldexp(np.rint(fraction * (1 << bits)) / (1 << bits), exponent)
            tensor.CopyFrom(numpy_helper.from_array(nearest.astype(np.float32), tensor.name))
    return rounded


def int8(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The graph with weights rounded to 8 bits a channel, and what they are applied to to 8 bits of its own range.

    That is the least that an int8 build rounds: its ranges come from other images. None below opset 11.
    """
    if _edit.opset(model) < _HAS_DYNAMIC:
        return None
    rounded = copy.deepcopy(model)
    graph = rounded.graph
    held = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    made: dict[str, str] = {}
    for node in graph.node:
        if node.op_type in _CHANNEL_AXIS and len(node.input) > 1:
            weight = held.get(node.input[1])
            if weight is not None and weight.data_type == onnx.TensorProto.FLOAT and len(weight.dims) > 1:
                name = f"{weight.name}_of_8_bits"
                if name not in held:
                    values = _of_8_bits(numpy_helper.to_array(weight), _axis(node))
                    held[name] = numpy_helper.from_array(values, name)
                    graph.initializer.append(held[name])
                node.input[1] = name
            data = node.input[0]
            if data not in held:
                if data not in made:
                    made[data] = f"{data}_of_8_bits"
                    parts = [f"{data}_{part}_8_bits" for part in ("values", "scale", "zero")]
                    nodes.append(helper.make_node("DynamicQuantizeLinear", [data], parts))
                    nodes.append(helper.make_node("DequantizeLinear", parts, [made[data]]))
                node.input[0] = made[data]
        nodes.append(node)
    copies = [copy.deepcopy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return rounded


def _axis(node: onnx.NodeProto) -> int:
    if node.op_type == "Gemm" and _tensors.attribute(node, "transB", 0):
        return 0
    return _CHANNEL_AXIS[node.op_type]


def _of_8_bits(values: npt.NDArray[np.generic], axis: int) -> F32:
    """Symmetric, each channel by its largest weight."""
    floats = np.asarray(values, np.float32)
    others = tuple(each for each in range(floats.ndim) if each != axis % floats.ndim)
    step = np.abs(floats).max(axis=others, keepdims=True) / np.float32(127)
    step = np.where(step > 0, step, np.float32(1))
    return np.asarray(np.rint(floats / step) * step, np.float32)
