"""Writes types into a float graph for engines that take them from the graph: float16 everywhere, int8 by Q/DQ pairs.

    activation -> QuantizeLinear -> DequantizeLinear -> Conv <- DequantizeLinear <- int8 weights

All is symmetric: zero points are 0, scales are float16 (which needs opset 19) and rounded up, so that no value that the
range was made for is cut off. Weights have a scale a channel. Biases and everything else are float16.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from densecast.errors import BadGraphError
from densecast.graph import _tensors

OPSET = 19
"""The first in which Q/DQ pairs take float16."""
_LARGEST = float(np.finfo(np.float16).max)
_QUANTISED = {"Conv": 0, "ConvTranspose": 1}
# Inputs that are float32 in any graph: sizes and scales of resizes are no data.
_FLOAT32_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}


def activations(model: onnx.ModelProto, excluded: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The tensors that convolutions with constant weights read, but those of the nodes `excluded`."""
    weights = {tensor.name for tensor in model.graph.initializer}
    found = [node.input[0] for node in model.graph.node if _is_quantised(node, weights, excluded)]
    return tuple(dict.fromkeys(found))


def _is_quantised(node: onnx.NodeProto, weights: set[str], excluded: frozenset[str]) -> bool:
    return node.op_type in _QUANTISED and node.input[1] in weights and node.name not in excluded


def with_int8(
    model: onnx.ModelProto, largest: Mapping[str, float], excluded: frozenset[str] = frozenset()
) -> onnx.ModelProto:
    """Put Q/DQ pairs before the convolutions; `largest` is the largest absolute value of each of `activations`."""
    changed = copy.deepcopy(model)
    graph = changed.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    rounded: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if _is_quantised(node, set(weights), excluded):
            given, kernel = node.input[0], node.input[1]
            if given not in rounded:
                rounded[given], made = _pair(graph, given, scale_of(largest[given]))
                nodes += made
            axis = _QUANTISED[node.op_type]
            if _tensors.attribute(node, "group", 1) != 1 and axis == 1:
                axis = -1  # its channels repeat from group to group
            name, made = _weights(graph, kernel, weights[kernel], axis)
            nodes += made
            node.input[0], node.input[1] = rounded[given], name
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    _tensors.drop_unneeded(graph)
    return changed


def scale_of(largest: float) -> np.float16:
    """The step of 127 that reach to `largest`, as float16, rounded up.

    >>> float(scale_of(127.0)), float(scale_of(0.0)) > 0
    (1.0, True)
    """
    wanted = max(largest / 127, float(np.finfo(np.float16).smallest_subnormal))
    step = np.float16(wanted)
    return step if float(step) >= wanted else np.nextafter(step, np.float16(np.inf))


def _pair(graph: onnx.GraphProto, given: str, scale: np.float16) -> tuple[str, list[onnx.NodeProto]]:
    names = [_tensors.unused(graph, f"{given}_{suffix}") for suffix in ("scale", "zero", "int8", "rounded")]
    graph.initializer.append(numpy_helper.from_array(np.array(scale), names[0]))
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int8), names[1]))
    quantise = helper.make_node("QuantizeLinear", [given, names[0], names[1]], [names[2]], names[2])
    back = helper.make_node("DequantizeLinear", [names[2], names[0], names[1]], [names[3]], names[3])
    return names[3], [quantise, back]


def _weights(
    graph: onnx.GraphProto, kernel: str, values: npt.NDArray[Any], axis: int
) -> tuple[str, list[onnx.NodeProto]]:
    others = tuple(each for each in range(values.ndim) if each != axis)
    largest = np.abs(values).max(axis=others if axis >= 0 else None)
    scales = np.vectorize(scale_of, otypes=[np.float16])(largest)
    spread = scales.astype(np.float32)
    if axis >= 0:
        spread = spread.reshape([-1 if each == axis else 1 for each in range(values.ndim)])
    whole = np.clip(np.rint(values.astype(np.float32) / spread), -127, 127).astype(np.int8)
    names = [_tensors.unused(graph, f"{kernel}_{suffix}") for suffix in ("int8", "scale", "zero", "rounded")]
    for name, array in zip(names, (whole, scales, np.zeros(scales.shape, np.int8)), strict=False):
        graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    # A single scale has no axis, and whatever is named is passed over.
    return names[3], [helper.make_node("DequantizeLinear", names[:3], [names[3]], names[3], axis=max(axis, 0))]


def with_halves(model: onnx.ModelProto) -> onnx.ModelProto:
    """All floats as float16; outputs stay float32, by a cast at the end. Domains without operators are dropped.

    Raises:
        BadGraphError: a weight beyond float16, or branches and loops, whose types are their own.
    """
    changed = copy.deepcopy(model)
    graph = changed.graph
    kept = {
        node.input[place]
        for node in graph.node
        for place in _FLOAT32_INPUTS.get(node.op_type, ())
        if place < len(node.input)
    }
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            tensor.CopyFrom(_half(tensor, tensor.name))
    for node in graph.node:
        for each in node.attribute:
            if each.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                raise BadGraphError(f"{node.op_type} {node.name!r} has a graph of its own, which cannot be typed.")
            if each.type == onnx.AttributeProto.TENSOR and each.t.data_type == TensorProto.FLOAT:
                if not kept.intersection(node.output):
                    each.t.CopyFrom(_half(each.t, node.name))
            elif node.op_type == "Cast" and each.name == "to" and each.i == TensorProto.FLOAT:
                each.i = TensorProto.FLOAT16
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            inner = _tensors.unused(graph, f"{value.name}_half")
            name = value.name
            for node in graph.node:
                node.output[:] = [inner if each == name else each for each in node.output]
                node.input[:] = [inner if each == name else each for each in node.input]
            graph.node.append(helper.make_node("Cast", [inner], [name], f"{name}_cast", to=TensorProto.FLOAT))
    del graph.value_info[:]
    used = {"", "ai.onnx", *(node.domain for node in graph.node)}
    kept_imports = [each for each in changed.opset_import if each.domain in used]
    del changed.opset_import[:]
    changed.opset_import.extend(kept_imports)
    return changed


def _half(tensor: onnx.TensorProto, where: str) -> onnx.TensorProto:
    values = numpy_helper.to_array(tensor)
    if values.size and not float(np.abs(values).max()) <= _LARGEST:
        raise BadGraphError(f"{where!r} holds {np.abs(values).max():g}, and float16 ends at {_LARGEST:g}.")
    return numpy_helper.from_array(values.astype(np.float16), tensor.name)
