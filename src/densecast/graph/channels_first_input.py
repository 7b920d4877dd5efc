"""Convert a channels-last (NHWC) input, as TensorFlow's graphs have, to channels-first (NCHW) float32.

image (N, 3, H, W) float32 -> Transpose [-> Round -> Cast uint8] -> the graph
"""

from __future__ import annotations

import copy

import onnx
from onnx import TensorProto, helper

from densecast.graph import _tensors
from densecast.graph._base import PassResult

NAME = "image"
_CHANNELS_LAST = (0, 2, 3, 1)


def apply(model: onnx.ModelProto) -> PassResult:
    """Insert a Transpose after the only input, (N, H, W, 3) of float32 or uint8."""
    graph_inputs = _tensors.inputs(model.graph)
    sizes = _tensors.shape(graph_inputs[0]) if len(graph_inputs) == 1 else None
    if sizes is None or len(sizes) != 4 or sizes[3] != 3:
        return PassResult(model, False, "the graph has no single input (N, H, W, 3)")
    kind = graph_inputs[0].type.tensor_type.elem_type
    if kind not in (TensorProto.FLOAT, TensorProto.UINT8):
        return PassResult(model, False, "the input is neither float32 nor uint8")
    changed = copy.deepcopy(model)
    graph = changed.graph
    before = f"{NAME}_channels_last"
    _tensors.rename(graph, graph_inputs[0].name, before)
    channels_last = before if kind == TensorProto.FLOAT else f"{before}_float"
    first = [helper.make_node("Transpose", [NAME], [channels_last], "channels_last", perm=_CHANNELS_LAST)]
    if kind == TensorProto.UINT8:
        first.append(helper.make_node("Round", [channels_last], [f"{before}_whole"], "whole_numbers"))
        first.append(helper.make_node("Cast", [f"{before}_whole"], [before], "to_bytes", to=kind))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*first, *rest])
    batch, height, width, _ = sizes
    del graph.input[:]
    shape = [batch or "N", 3, height or "H", width or "W"]
    graph.input.append(helper.make_tensor_value_info(NAME, TensorProto.FLOAT, shape))
    return PassResult(changed, True, f"{graph_inputs[0].name} takes its image channels first")
