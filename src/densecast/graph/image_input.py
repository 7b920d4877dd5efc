"""Give a graph whose image input has another layout or number type one of float32 (N, C, H, W).

image (N, C, H, W) float32 [-> whole numbers] -> Cast -> Transpose -> Squeeze -> the graph

Values are not scaled: what the graph took as its numbers, it gets.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from densecast.graph import _edit, _tensors
from densecast.graph._base import PassResult

WHOLE = frozenset(
    {
        TensorProto.UINT8,
        TensorProto.INT8,
        TensorProto.UINT16,
        TensorProto.INT16,
        TensorProto.UINT32,
        TensorProto.INT32,
        TensorProto.UINT64,
        TensorProto.INT64,
    }
)
"""Types of whole numbers that an image may be given in."""
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
"""Types of floats that an image may be given in."""

# Since then scalars are spread over a map without an attribute that says so.
_BROADCASTS = 7
_AXES_ARE_INPUTS = 13


@dataclass(frozen=True, slots=True)
class Layout:
    """How a graph takes its image: the axis of the channels, their number, and whether images come in batches."""

    channels_last: bool
    channels: int
    has_batch: bool = True


def apply(model: onnx.ModelProto, name: str, layout: Layout) -> PassResult:
    """Replace the input `name`, which is of `layout`, by one of the same name."""
    value = next((each for each in _tensors.inputs(model.graph) if each.name == name), None)
    if value is None:
        return PassResult(model, False, f"the graph has no input {name!r}")
    kind = value.type.tensor_type.elem_type
    if kind == TensorProto.FLOAT and not layout.channels_last and layout.has_batch:
        return PassResult(model, False, f"{name} already is float32 (N, C, H, W)")
    changed = copy.deepcopy(model)
    graph = changed.graph
    inner = _tensors.unused(graph, f"{name}_as_found")
    _tensors.rename(graph, name, inner)
    nodes: list[onnx.NodeProto] = []
    current = name

    def add(operator: str, suffix: str, *more: str, **attributes: Any) -> None:
        nonlocal current
        made = _tensors.unused(graph, f"{name}_{suffix}")
        nodes.append(helper.make_node(operator, [current, *more], [made], made, **attributes))
        current = made

    if kind in WHOLE and _edit.opset(changed) >= _BROADCASTS:
        half = numpy_helper.from_array(np.array(0.5, np.float32), _tensors.unused(graph, f"{name}_half"))
        graph.initializer.append(half)
        add("Add", "raised", half.name)
        add("Floor", "whole")
    if kind != TensorProto.FLOAT:
        add("Cast", "cast", to=kind)
    if layout.channels_last:
        add("Transpose", "channels_last", perm=(0, 2, 3, 1))
    if not layout.has_batch:
        if _edit.opset(changed) < _AXES_ARE_INPUTS:
            add("Squeeze", "alone", axes=[0])
        else:
            axis = numpy_helper.from_array(np.array([0]), _tensors.unused(graph, f"{name}_batch_axis"))
            graph.initializer.append(axis)
            add("Squeeze", "alone", axis.name)
    nodes[-1].output[0] = inner
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    for each in graph.input:
        if each.name == inner:
            each.CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, _sizes(value, layout)))
    words = [
        *(["channels first"] if layout.channels_last else []),
        *(["in batches of 1"] if not layout.has_batch else []),
        *([f"as float32 instead of {TensorProto.DataType.Name(kind).lower()}"] if kind != TensorProto.FLOAT else []),
    ]
    return PassResult(changed, True, f"{name} takes its image {', '.join(words)}")


def _sizes(value: onnx.ValueInfoProto, layout: Layout) -> list[int | str]:
    """The sizes of the new input: batch, channels, height, width; names where they are open."""
    dims = [dim.dim_value if dim.dim_value > 0 else dim.dim_param for dim in value.type.tensor_type.shape.dim]
    if not dims:
        return ["N", layout.channels, "H", "W"]
    batch = dims[0] if layout.has_batch else 1
    sides = dims[-3:-1] if layout.channels_last else dims[-2:]
    return [batch or "N", layout.channels, sides[0] or "H", sides[1] or "W"]
