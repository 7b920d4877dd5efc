"""Make height and width of a fixed-size graph dynamic; pooling over the whole map becomes global pooling.

Frozen graphs write the size of their last map into two places of image-level pooling: the window of the average, and
the size that its one pixel is resized to. Here the window becomes "everything" and the size that of the map beside it.
At the frozen size nothing changes; at others the network becomes what it would have been if frozen for them.
"""

from __future__ import annotations

import copy

import numpy as np
import onnx
from onnx import helper, numpy_helper

from densecast.graph import _tensors
from densecast.graph._base import PassResult
from densecast.runtime import engine_words

_OPEN = ("N", None, "H", "W")


def apply(model: onnx.ModelProto) -> PassResult:
    """Make height and width of the only input, (N, C, H, W), dynamic."""
    graph_inputs = _tensors.inputs(model.graph)
    sizes = _tensors.shape(graph_inputs[0]) if len(graph_inputs) == 1 else None
    if sizes is None or len(sizes) != 4:
        return PassResult(model, False, "one input of four dimensions is needed")
    if sizes[2] is None or sizes[3] is None:
        return PassResult(model, False, "height and width already are open")
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        return PassResult(model, False, f"shapes cannot be inferred ({engine_words.reason(error)})")
    shapes = {value.name: _tensors.shape(value) for value in [*inferred.graph.value_info, *inferred.graph.input]}
    changed = copy.deepcopy(model)
    pooled = [
        node for node in changed.graph.node if _covers_all(node, shapes.get(node.input[0]) if node.input else None)
    ]
    for node in pooled:
        node.op_type = "GlobalAveragePool"
        del node.attribute[:]
    spread = _spread(changed.graph, shapes)
    value = _tensors.inputs(changed.graph)[0]
    for dim, name in zip(value.type.tensor_type.shape.dim, _OPEN, strict=True):
        if name is not None:
            dim.dim_param = name
    for output in changed.graph.output:
        for dim, name in zip(output.type.tensor_type.shape.dim, ("N", None, "h", "w"), strict=True):
            if name is not None:
                dim.dim_param = name
    del changed.graph.value_info[:]
    _tensors.drop_unneeded(changed.graph)
    notes = f"height and width are open; {len(pooled)} averages are global, {spread} single pixels spread to fit"
    return PassResult(changed, True, notes)


def _covers_all(node: onnx.NodeProto, sizes: tuple[int | None, ...] | None) -> bool:
    """Whether a pooling window covers the whole map."""
    if node.op_type != "AveragePool" or sizes is None:
        return False
    padded = any(_tensors.attribute(node, "pads", [])) or _tensors.attribute(node, "auto_pad", "NOTSET") not in (
        "NOTSET",
        "VALID",
    )
    return not padded and tuple(_tensors.attribute(node, "kernel_shape", ())) == sizes[2:]


def _spread(graph: onnx.GraphProto, shapes: dict[str, tuple[int | None, ...] | None]) -> int:
    """Replace, in place, the resizing of single pixels for a Concat by Expand; returns how many there were."""
    done = 0
    for node in list(graph.node):
        source = shapes.get(node.input[0]) if node.op_type == "Resize" else None
        joined = _joined_with(graph, node.output[0]) if source and source[2:] == (1, 1) else None
        if joined is None or shapes.get(joined) is None or shapes.get(node.output[0]) is None:
            continue
        if shapes[joined][2:] != shapes[node.output[0]][2:]:  # type: ignore[index]
            continue
        stem = f"{node.name or node.output[0]}_spread"
        initial = (
            numpy_helper.from_array(np.array([2], np.int64), f"{stem}_from"),
            numpy_helper.from_array(np.array([4], np.int64), f"{stem}_to"),
            numpy_helper.from_array(np.array([1, 1], np.int64), f"{stem}_ones"),
        )
        graph.initializer.extend(initial)
        first = [
            helper.make_node("Shape", [joined], [f"{stem}_whole"], f"{stem}_shape"),
            helper.make_node("Slice", [f"{stem}_whole", f"{stem}_from", f"{stem}_to"], [f"{stem}_hw"], f"{stem}_slice"),
            helper.make_node("Concat", [f"{stem}_ones", f"{stem}_hw"], [f"{stem}_size"], f"{stem}_concat", axis=0),
            helper.make_node("Expand", [node.input[0], f"{stem}_size"], [node.output[0]], f"{stem}_expand"),
        ]
        _replace(graph, node, joined, first)
        done += 1
    return done


def _joined_with(graph: onnx.GraphProto, name: str) -> str | None:
    """A tensor that a Concat of channels joins with `name`."""
    for node in graph.node:
        if node.op_type == "Concat" and name in node.input and _tensors.attribute(node, "axis", 1) == 1:
            return next((other for other in node.input if other != name), None)
    return None


def _replace(graph: onnx.GraphProto, old: onnx.NodeProto, after: str, new: list[onnx.NodeProto]) -> None:
    """Put `new` in the place of `old`, or behind the producer of `after` if that comes later."""
    others = [node for node in graph.node if node != old]
    places = [place for place, node in enumerate(graph.node) if node == old]
    made = next((place + 1 for place, node in enumerate(others) if after in node.output), 0)
    at = max(places[0], made)
    del graph.node[:]
    graph.node.extend([*others[:at], *new, *others[at:]])
