"""Start a graph at its first layer; the preprocessing before it moves to the declared preprocessing.

    image -> [Cast -> Sub -> Pad -> Mul -> Transpose ->] input (N, 3, H, W) of the first convolution

What the part before does to an image is for the caller to measure (`preprocessing_prefix`), and to declare.
"""

from __future__ import annotations

import copy

import onnx
from onnx import TensorProto, helper

from densecast.graph import _tensors
from densecast.graph._base import PassResult

NAME = "image"
_LAYERS = {
    "Conv",
    "ConvTranspose",
    "AveragePool",
    "MaxPool",
    "GlobalAveragePool",
    "BatchNormalization",
    "Gemm",
    "MatMul",
}


def find(model: onnx.ModelProto) -> str | None:
    """The tensor that all first layers read; None where they read several.

    Padding by fixed amounts right before the first layer is the layer's own.
    """
    graph = model.graph
    makers, constants = _tensors.producers(graph), _tensors.constants(graph)
    reached = {value.name for value in _tensors.inputs(graph)}
    behind: set[str] = set()
    first: set[str] = set()
    for node in graph.node:
        if behind.intersection(node.input):
            behind.update(node.output)
        elif reached.intersection(node.input):
            is_layer = node.op_type in _LAYERS and node.input[0] in reached
            first.update(node.input[:1] if is_layer else ())
            (behind if is_layer else reached).update(node.output)
    if len(first) != 1:
        return None
    tensor = first.pop()
    while tensor in makers and makers[tensor].op_type == "Pad" and makers[tensor].input[1] in constants:
        tensor = makers[tensor].input[0]
    return tensor


def apply(model: onnx.ModelProto) -> PassResult:
    """Make the first layer's input, renamed `NAME`, the graph's only input, with dynamic batch, height and width."""
    graph_inputs = _tensors.inputs(model.graph)
    if len(graph_inputs) != 1:
        return PassResult(model, False, f"the graph has {len(graph_inputs)} inputs; one is needed")
    tensor = find(model)
    if tensor is None:
        return PassResult(model, False, "no single tensor is what the first layers read")
    before = graph_inputs[0].name
    if tensor == before:
        return PassResult(model, False, "the graph already starts at its first layer")
    changed = copy.deepcopy(model)
    graph = changed.graph
    gone = _between(changed, before, tensor)
    node = _tensors.producers(graph)[tensor]
    node.output[:] = ["" if name == tensor else name for name in node.output]
    image = f"{before}_before"
    _tensors.rename(graph, before, image)
    _tensors.rename(graph, tensor, NAME)
    _tensors.drop_unneeded(graph)
    if any(image in each.input for each in graph.node):
        return PassResult(model, False, f"the network reads {before} in other ways than through its first layer, too")
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(NAME, TensorProto.FLOAT, ["N", 3, "H", "W"]))
    return PassResult(changed, True, f"starts at its first layer; before it came {', '.join(gone)}")


def preprocessing_prefix(model: onnx.ModelProto) -> onnx.ModelProto:
    """The part that `apply` cuts off, as a separate graph; its output is the first layer's input.

    Only for a model that `apply` changes.
    """
    tensor = find(model)
    assert tensor is not None
    alone = copy.deepcopy(model)
    del alone.graph.output[:]
    alone.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, ["N", 3, "H", "W"]))
    _tensors.drop_unneeded(alone.graph)
    return alone


def _between(model: onnx.ModelProto, before: str, tensor: str) -> list[str]:
    """The types of operators from `before` to `tensor` that change the image, without those that compute sizes."""
    makers = _tensors.producers(model.graph)
    op_types: list[str] = []
    while tensor != before and tensor in makers:
        node = makers[tensor]
        op_types.append(node.op_type)
        upwards = [name for name in node.input if name in makers or name == before]
        if not upwards:
            break
        tensor = upwards[0]
    return op_types[::-1]
