"""Let a graph take the pixels of an image as they lie in memory: bytes, channels last, in either order of colours.

    image: uint8 [N, H, W, C] -> Cast float32 -> Transpose [-> Gather colours] [-> Div divisor] -> Sub mean -> Div std

The arithmetic is that of `kernels.normalise`. A graph that takes bytes already keeps its own.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from densecast.graph import _tensors
from densecast.graph._base import PassResult
from densecast.spec.preprocess import Preprocess

NAME = "image"
_TO_CHANNELS_FIRST = (0, 3, 1, 2)
_MARK = "pixels of an image"


@dataclass(frozen=True, slots=True)
class Pixels:
    """How pixels come: (N, H, W, C) with `channels_last`, else (N, C, H, W), and in which order of colours.

    With `reverses` they come in the other order of colours than the network's own.
    """

    channels_last: bool = True
    reverses: bool = False


def apply(model: onnx.ModelProto, preprocess: Preprocess, pixels: Pixels = Pixels()) -> PassResult:
    """Make the graph's only input the bytes of an image, called `NAME`, instead of a network's (N, C, H, W)."""
    inputs = _tensors.inputs(model.graph)
    if len(inputs) != 1:
        return PassResult(model, False, f"the graph has {len(inputs)} inputs; one is needed")
    before = inputs[0]
    dims = before.type.tensor_type.shape.dim
    takes_bytes = before.type.tensor_type.elem_type == TensorProto.UINT8
    if len(dims) != 4:
        return PassResult(model, False, f"{before.name} has {len(dims)} axes; (N, C, H, W) is needed")
    if before.doc_string == _MARK:
        return PassResult(model, False, f"{before.name} already takes pixels")
    changed = copy.deepcopy(model)
    graph = changed.graph
    inner = _tensors.unused(graph, f"{before.name}_normalised")
    _tensors.rename(graph, before.name, inner)
    nodes: list[onnx.NodeProto] = []
    current = NAME

    def constant(suffix: str, values: Any) -> str:
        name = _tensors.unused(graph, f"{NAME}_{suffix}")
        graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(operator: str, suffix: str, *more: str, **attributes: Any) -> None:
        nonlocal current
        made = _tensors.unused(graph, f"{NAME}_{suffix}")
        nodes.append(helper.make_node(operator, [current, *more], [made], made, **attributes))
        current = made

    if not takes_bytes:
        add("Cast", "float", to=TensorProto.FLOAT)
    if pixels.channels_last:
        add("Transpose", "channels_first", perm=_TO_CHANNELS_FIRST)
    if pixels.reverses:
        add("Gather", "reversed", constant("order", np.array([2, 1, 0], np.int64)), axis=1)
    if not takes_bytes:
        rule = preprocess.for_channels(dims[1].dim_value) if dims[1].dim_value else preprocess
        if rule.divisor != 1:
            add("Div", "scaled", constant("divisor", np.full(1, rule.divisor, np.float32)))
        add("Sub", "centred", constant("mean", np.array(rule.mean, np.float32).reshape(1, -1, 1, 1)))
        add("Div", "normal", constant("std", np.array(rule.std, np.float32).reshape(1, -1, 1, 1)))
    if not nodes:
        add("Identity", "bytes")
    nodes[-1].output[0] = inner
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    batch, channels, height, width = (dim.dim_value or dim.dim_param or None for dim in dims)
    sizes = [batch, height, width, channels] if pixels.channels_last else [batch, channels, height, width]
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(NAME, TensorProto.UINT8, sizes, doc_string=_MARK))
    layout = "(N, H, W, C)" if pixels.channels_last else "(N, C, H, W)"
    return PassResult(changed, True, f"{NAME} takes bytes {layout}; the normalisation is inside")
