"""Finds images so small that a layer inside of a graph is given fewer pixels than its window has."""

from __future__ import annotations

import math
from typing import Any

# Larger constants are weights, of which the shape is all that tells sizes.
_MOST_VALUES = 1024
_WITH_WINDOW = ("MaxPool", "AveragePool", "LpPool", "Conv")


def layer_in(skeleton: Any, name: str, shape: tuple[int, ...]) -> str | None:
    """A layer of a `skeleton_of` graph whose window is larger than its padded map, for an image `name` of this shape.

    None if there is none. Frameworks and OpenVINO refuse that, as nothing would be left of the map (PyTorch: "output
    size is too small"); ONNX Runtime rounds the other way and answers.
    """
    import onnx

    for value in skeleton.graph.input:
        if value.name == name:
            sides = value.type.tensor_type.shape
            sides.ClearField("dim")
            for side in shape:
                sides.dim.add().dim_value = side
    try:
        graph = onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError):  # it is told by running it
        return None
    shapes = {value.name: _sides(value) for value in (*graph.value_info, *graph.input)}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    return next((node.name or node.op_type for node in graph.node if _is_too_small(node, shapes)), None)


def _is_too_small(node: Any, shapes: dict[str, list[int | None]]) -> bool:
    """Whether a side of what the layer is given, with its padding, is shorter than its window."""
    if node.op_type not in _WITH_WINDOW:
        return False
    given = {each.name: each for each in node.attribute}
    if "auto_pad" in given and given["auto_pad"].s not in (b"", b"NOTSET", b"VALID"):
        return False
    sides = shapes.get(node.input[0], [])[2:]
    own = list(given["kernel_shape"].ints) if "kernel_shape" in given else []
    window = own or (shapes.get(node.input[1], [])[2:] if node.op_type == "Conv" else [])
    count = len(sides)
    pads = list(given["pads"].ints) if "pads" in given else [0] * 2 * count
    apart = list(given["dilations"].ints) if "dilations" in given else [1] * count
    if not (count and count == len(window) == len(apart) and len(pads) == 2 * count):
        return False
    return any(
        side is not None and size is not None and side + before + after < (size - 1) * step + 1
        for side, size, step, before, after in zip(sides, window, apart, pads[:count], pads[count:], strict=True)
    )


def _sides(value: Any) -> list[int | None]:
    dims = value.type.tensor_type.shape.dim
    return [side.dim_value if side.HasField("dim_value") else None for side in dims]


def skeleton_of(model: Any) -> Any:
    """The graph with the shapes of its weights instead of their values."""
    import onnx

    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    bare.graph.name = model.graph.name
    bare.graph.node.extend(model.graph.node)
    named = {value.name for value in model.graph.initializer}
    bare.graph.input.extend(value for value in model.graph.input if value.name not in named)
    bare.graph.output.extend(onnx.ValueInfoProto(name=value.name, type=_kind(value)) for value in model.graph.output)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _MOST_VALUES and tensor.data_location != onnx.TensorProto.EXTERNAL:
            bare.graph.initializer.append(tensor)
        else:
            bare.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return bare


def _kind(value: Any) -> Any:
    """An output's type without the sizes that its file claims."""
    import onnx

    return onnx.helper.make_tensor_type_proto(value.type.tensor_type.elem_type, None)
