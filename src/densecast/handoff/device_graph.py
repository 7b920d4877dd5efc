"""The network as a vendor's compiler takes it: fixed sizes, opset 11, and labels at its end where asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from densecast.core import catalog
from densecast.core.errors import BadGraphError, UsageError
from densecast.core.spec import ModelSpec, SegmentationDecode
from densecast.core.tensor import TensorSpec

Ending = Literal["logits", "int32", "int64"]
LABELS = "labels"


def device_graph(model: onnx.ModelProto, spec: ModelSpec, ending: Ending) -> tuple[onnx.ModelProto, list[str]]:
    """The float graph for `spec.input`, and what was done to it.

    With labels as the ending, the logits are resized bilinearly to the input's size, and the index of the largest of
    each pixel is all that leaves the device: (N, 1, H, W).

    Raises:
        BadGraphError: the graph cannot be had in this form.
        UsageError: labels of a network that has none, or whose input has no fixed size.
    """
    notes = []
    for name, arguments in (
        *((("uint8_input", (spec.preprocess,)),) if spec.input.dtype == "uint8" else ()),
        ("fix_shape", (spec.input,)),
        ("fold_constants", ()),
        ("drop_identity_resize", ()),
    ):
        done = catalog.load("graph", name).apply(model, *arguments)
        model = done.model
        notes += [done.notes] if done.changed else []
    if ending != "logits":
        model = _with_labels(model, spec, ending)
        notes.append(f"bilinear resize to the input's size and argmax as {ending}")
    done = catalog.load("graph", "lower_opset").apply(model)
    return done.model, [*notes, *([done.notes] if done.changed else [])]


def output_at(model: onnx.ModelProto, spec: TensorSpec, size_hw: tuple[int, int]) -> TensorSpec:
    """The only output of the device's graph for inputs of `size_hw`: name and type, and its shape for one image.

    Raises:
        BadGraphError: several outputs, or one that is not a batch of maps of known size.
    """
    model = catalog.load("graph", "fix_shape").apply(model, replace(spec, shape=(*spec.shape[:2], *size_hw))).model
    if not _is_known(model):
        model = catalog.load("graph", "fold_constants").apply(model).model
    if len(model.graph.output) != 1:
        raise BadGraphError(f"the graph has {len(model.graph.output)} outputs; one is needed.")
    value = model.graph.output[0]
    sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    if len(sizes) != 4 or sizes[0] != spec.shape[0] or 0 in sizes:
        raise BadGraphError(f"output {value.name!r} must be ({spec.shape[0]}, C, h, w), got {sizes}.")
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return TensorSpec(value.name, str(np.dtype(dtype)), tuple(sizes[1:]))


def _is_known(model: onnx.ModelProto) -> bool:
    return all(dim.dim_value for value in model.graph.output for dim in value.type.tensor_type.shape.dim)


def _with_labels(model: onnx.ModelProto, spec: ModelSpec, ending: Ending) -> onnx.ModelProto:
    if not isinstance(spec.decode, SegmentationDecode):
        raise UsageError(f"{spec.name} finds people; only segmentation has labels. Use --output logits.")
    if not spec.input.is_static:
        raise UsageError(f"labels need fixed sizes, and the input is {spec.input}. Use --output logits.")
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    logits = graph.output[0].name
    batch, _, height, width = (int(size) for size in spec.input.shape if isinstance(size, int))
    size = [batch, len(spec.labels), height, width]
    graph.initializer.append(numpy_helper.from_array(np.asarray(size, np.int64), f"{LABELS}_size"))
    mode = "align_corners" if spec.decode.align_corners else "pytorch_half_pixel"
    last = LABELS if ending == "int64" else f"{LABELS}_int64"
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
    kind = TensorProto.INT64
    if ending == "int32":
        graph.node.append(helper.make_node("Cast", [last], [LABELS], f"{LABELS}_cast", to=TensorProto.INT32))
        kind = TensorProto.INT32
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(LABELS, kind, [batch, 1, height, width]))
    del graph.value_info[:]
    return onnx.shape_inference.infer_shapes(changed, strict_mode=True)
