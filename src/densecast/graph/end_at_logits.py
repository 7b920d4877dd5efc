"""Cut a graph after its low-resolution logits: upsampling, argmax and cropping move to the declared postprocessing.

    network -> logits (N, C, h, w) [-> Resize linear -> ArgMax -> Slice -> Cast -> labels]

Only what does not change the winning class is cut off: one bilinear resize whose convention `SegmentationDecode` can
name, softmax over the classes, the argmax, and what arranges labels afterwards. That the labels are the same is for the
caller to verify, who knows the input's size and where in it the image is.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from densecast.graph import _tensors
from densecast.graph._base import PassResult

NAME = "logits"
# What only arranges labels or changes their type.
_AFTER_ARGMAX = {"Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Slice", "Transpose", "Resize"}
_ALIGN_CORNERS = {"align_corners": True, "half_pixel": False, "pytorch_half_pixel": False}
_TO_CHANNELS_FIRST = (0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class Ending:
    """Where the logits are, and what the graph does with them.

    `tensor` has its classes on `class_axis`. `align_corners` is the convention of the bilinear resize that follows,
    None without one. `gone` are the operators after it, in order.
    """

    tensor: str
    class_axis: int
    align_corners: bool | None
    gone: tuple[str, ...]


def find(model: onnx.ModelProto) -> Ending:
    """Find the logits, backwards from the only output; a graph that ends in scores has its classes on the last axis.

    `class_axis` is 1 for a graph that this pass has ended.
    """
    graph = model.graph
    makers, constants = _tensors.producers(graph), _tensors.constants(graph)
    end = graph.output[0].name
    gone: list[str] = []
    tensor, class_axis = _above_argmax(end, makers, gone)
    if class_axis is None:
        if end == NAME:
            return Ending(end, 1, None, ())
        tensor, class_axis, gone = end, 3, []
    align_corners: bool | None = None
    while tensor in makers:
        node = makers[tensor]
        if node.op_type == "Transpose":
            class_axis = _tensors.attribute(node, "perm", [3, 2, 1, 0])[class_axis]
        elif node.op_type == "Softmax":
            if _tensors.attribute(node, "axis", -1) % 4 != class_axis:
                break
        elif node.op_type == "Resize":
            convention = _ALIGN_CORNERS.get(_tensors.attribute(node, "coordinate_transformation_mode", "half_pixel"))
            scales = constants.get(node.input[2]) if len(node.input) == 3 else None
            if scales is None or (scales != 1).any():
                linear = _tensors.attribute(node, "mode", "nearest") == "linear"
                if not linear or convention is None or align_corners is not None or class_axis != 1:
                    break
                align_corners = convention
        elif node.op_type != "Identity":
            break
        gone.append(node.op_type)
        tensor = node.input[0]
    return Ending(tensor, class_axis, align_corners, tuple(reversed(gone)))


def apply(model: onnx.ModelProto) -> PassResult:
    """Make the logits, channels first and named `NAME`, the only output."""
    if len(model.graph.output) != 1:
        return PassResult(model, False, f"the graph has {len(model.graph.output)} outputs; one is needed")
    ending = find(model)
    if model.graph.output[0].name == NAME and not ending.gone:
        return PassResult(model, False, "the graph already ends at its logits")
    if ending.class_axis not in (1, 3):
        return PassResult(model, False, f"the classes of {ending.tensor} are on axis {ending.class_axis}")
    changed = copy.deepcopy(model)
    graph = changed.graph
    if ending.class_axis == 3:
        classes_last = ending.tensor
        if classes_last == NAME:
            classes_last = f"{NAME}_classes_last"
            _tensors.rename(graph, NAME, classes_last)
        last = helper.make_node("Transpose", [classes_last], [NAME], "logits_first", perm=_TO_CHANNELS_FIRST)
        graph.node.append(last)
    else:
        _tensors.rename(graph, ending.tensor, NAME)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(NAME, TensorProto.FLOAT, ["N", "C", "h", "w"]))
    _tensors.drop_unneeded(graph)
    gone = ", ".join(ending.gone) or "nothing"
    resize = {None: "no bilinear resize", True: "a bilinear resize of aligned corners", False: "a bilinear resize"}
    return PassResult(changed, True, f"ends at the logits; after them came {gone}: {resize[ending.align_corners]}")


def _above_argmax(end: str, makers: dict[str, onnx.NodeProto], gone: list[str]) -> tuple[str, int | None]:
    """The input of the argmax, and which of its four axes holds the classes; None without an argmax."""
    tensor = end
    while tensor in makers:
        node = makers[tensor]
        gone.append(node.op_type)
        if node.op_type == "ArgMax":
            return node.input[0], int(_tensors.attribute(node, "axis", 0)) % 4
        is_linear = node.op_type == "Resize" and _tensors.attribute(node, "mode", "nearest") != "nearest"
        if node.op_type not in _AFTER_ARGMAX or is_linear:
            break
        tensor = node.input[0]
    return end, None
