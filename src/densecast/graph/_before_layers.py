"""Cuts out what a graph does to the values of one input before its first layer."""

from __future__ import annotations

import onnx

from densecast.graph import _tensors

_CHANGING = frozenset(
    {
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Sum",
        "Mean",
        "Neg",
        "Abs",
        "Sqrt",
        "Reciprocal",
        "Exp",
        "Log",
        "Floor",
        "Ceil",
        "Round",
        "Clip",
        "Min",
        "Max",
        "BatchNormalization",
    }
)
"""What changes values, each by itself or by its channel."""
_MOVING = frozenset(
    {
        "Identity",
        "Cast",
        "CastLike",
        "Dropout",
        "Transpose",
        "Unsqueeze",
        "Squeeze",
        "Reshape",
        "Expand",
        "Split",
        "Slice",
        "Gather",
        "Concat",
        "Pad",
        "DepthToSpace",
        "SpaceToDepth",
        "Resize",
        "Shape",
        "Constant",
        "ConstantOfShape",
        "QuantizeLinear",
        "DequantizeLinear",
    }
)
"""What moves, joins or leaves out values, and what says where to."""
_STANDARD = ("", "ai.onnx")


def cut(model: onnx.ModelProto, name: str) -> onnx.ModelProto | None:
    """The graph from the input `name` to what its first layers read; None where one reads the input as it is fed.

    Also None where nothing on the way changes a value, or there is no layer behind it.
    """
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer} | {name, ""}
    of_image, nodes, read = {name}, [], []
    for node in graph.node:
        has_image = any(each in of_image for each in node.input)
        is_known = node.domain in _STANDARD and node.op_type in _CHANGING | _MOVING and known.issuperset(node.input)
        # A normalisation of batches that is being trained has more outputs.
        if is_known and (node.op_type != "BatchNormalization" or len(node.output) == 1):
            nodes.append(node)
            known.update(node.output)
            if has_image and node.op_type != "Shape":
                of_image.update(node.output)
        elif has_image:
            read += [each for each in node.input if each in of_image and each not in read]
    if not read or name in read:
        return None
    needed, kept = set(read), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    if not any(node.op_type in _CHANGING and of_image.intersection(node.input) for node in kept):
        return None
    made = onnx.ModelProto(ir_version=model.ir_version)
    made.opset_import.extend(each for each in model.opset_import if each.domain in _STANDARD)
    made.graph.name = graph.name
    made.graph.node.extend(reversed(kept))
    made.graph.initializer.extend(each for each in graph.initializer if each.name in needed)
    made.graph.input.extend(each for each in _tensors.inputs(graph) if each.name == name)
    made.graph.output.extend(onnx.ValueInfoProto(name=each) for each in read)
    return made
