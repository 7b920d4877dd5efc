"""Adds or removes the argmax output stage of a device's graph: a bilinear resize and an argmax after the logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from densecast.errors import BadArtifactError, UsageError
from densecast.spec.handoff_options import OutputForm
from densecast.spec.model import ModelSpec
from densecast.tasks.segmentation import SegmentationDecode

LABELS = "labels"
_ALIGNED = "align_corners"
# What the labels are made by, for each type of them.
_OPERATORS: dict[int, tuple[str, ...]] = {
    TensorProto.INT32: ("Resize", "ArgMax", "Cast"),
    TensorProto.INT64: ("Resize", "ArgMax"),
}


@dataclass(frozen=True, slots=True)
class ArgmaxStage:
    """An argmax output stage: logits are resized to `size_hw`, and the argmax is output as `dtype`."""

    size_hw: tuple[int, int]
    align_corners: bool
    dtype: str


def add(model: onnx.ModelProto, spec: ModelSpec, form: OutputForm) -> onnx.ModelProto:
    """Add the stage: a copy of the graph with labels (N, 1, H, W) of the input's size as its only output.

    Raises:
        UsageError: a network that has none, or whose input has no fixed size.
    """
    if not isinstance(spec.decode, SegmentationDecode):
        raise UsageError(
            f"{spec.name} is a network of {spec.task}; only segmentation has labels. Take its logits.",
            field="output_form",
        )
    if not spec.input.is_static:
        raise UsageError(
            f"labels need fixed sizes, and the input is {spec.input}. Take the logits.", field="output_form"
        )
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    logits = graph.output[0].name
    batch, _, height, width = (int(size) for size in spec.input.shape if isinstance(size, int))
    size = [batch, len(spec.labels), height, width]
    graph.initializer.append(numpy_helper.from_array(np.asarray(size, np.int64), f"{LABELS}_size"))
    mode = _ALIGNED if spec.decode.align_corners else "pytorch_half_pixel"
    last = LABELS if form == "int64" else f"{LABELS}_int64"
    graph.node.extend(
        [
            helper.make_node(
                "Resize",
                [logits, "", "", f"{LABELS}_size"],
                [f"{LABELS}_logits"],
                f"{LABELS}_resize",
                mode="linear",
                coordinate_transformation_mode=mode,
            ),
            helper.make_node("ArgMax", [f"{LABELS}_logits"], [last], f"{LABELS}_argmax", axis=1, keepdims=1),
        ]
    )
    element_type = TensorProto.INT64
    if form == "int32":
        graph.node.append(helper.make_node("Cast", [last], [LABELS], f"{LABELS}_cast", to=TensorProto.INT32))
        element_type = TensorProto.INT32
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(LABELS, element_type, [batch, 1, height, width]))
    del graph.value_info[:]
    return onnx.shape_inference.infer_shapes(changed, strict_mode=True)


def remove(model: onnx.ModelProto) -> tuple[onnx.ModelProto, ArgmaxStage]:
    """Remove the stage: the graph as it was before `add`, and the stage that `add` had added.

    Raises:
        BadArtifactError: the graph ends otherwise.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    output = graph.output[0] if graph.output else onnx.ValueInfoProto()
    removed = _OPERATORS.get(output.type.tensor_type.elem_type, ("?",))
    nodes = list(graph.node)[-len(removed) :]
    shape = [dim.dim_value for dim in output.type.tensor_type.shape.dim]
    if output.name != LABELS or [node.op_type for node in nodes] != [*removed] or len(shape) != 4 or 0 in shape:
        raise BadArtifactError("damaged handoff: its graph does not end in the labels that `prepare` put there.")
    modes = {each.name: each.s.decode(errors="replace") for each in nodes[0].attribute}
    dtype = str(helper.tensor_dtype_to_np_dtype(output.type.tensor_type.elem_type))
    stage = ArgmaxStage((shape[2], shape[3]), modes.get("coordinate_transformation_mode") == _ALIGNED, dtype)
    logits = helper.make_tensor_value_info(nodes[0].input[0], TensorProto.FLOAT, [shape[0], None, None, None])
    del graph.node[-len(removed) :], graph.output[:]
    graph.output.append(logits)
    return changed, stage
