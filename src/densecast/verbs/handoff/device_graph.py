"""Makes the ONNX graph for a vendor's compiler: fixed sizes, opset 11, optionally an argmax output stage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from densecast.errors import BadGraphError
from densecast.graph import drop_identity_resize, fix_shape, fold_constants, lower_opset, uint8_input
from densecast.graph._base import PassResult
from densecast.spec.handoff_options import OutputForm
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import TensorSpec
from densecast.verbs.handoff import output_stage


def device_graph(model: onnx.ModelProto, spec: ModelSpec, form: OutputForm) -> tuple[onnx.ModelProto, list[str]]:
    """Make the device's graph for `spec.input`; returns it with notes on what was done.

    With labels as the output form, the logits are resized bilinearly to the input's size, and the index of the largest
    of each pixel is all that leaves the device: (N, 1, H, W).

    Raises:
        BadGraphError: the graph cannot be had in this form.
        UsageError: labels of a network that has none, or whose input has no fixed size.
    """
    notes: list[str] = []

    def changed(result: PassResult) -> onnx.ModelProto:
        notes.extend([result.notes] if result.changed else [])
        return result.model

    if spec.input.dtype == "uint8":
        model = changed(uint8_input.apply(model, spec.preprocess))
    model = changed(fix_shape.apply(model, spec.input))
    model = changed(fold_constants.apply(model))
    model = changed(drop_identity_resize.apply(model))
    if form != "logits":
        model = output_stage.add(model, spec, form)
        notes.append(f"bilinear resize to the input's size and argmax as {form}")
    return changed(lower_opset.apply(model)), notes


def output_at(model: onnx.ModelProto, spec: TensorSpec, size_hw: tuple[int, int]) -> TensorSpec:
    """The output of the device's graph for inputs of `size_hw`: name, type, and shape for one image.

    Raises:
        BadGraphError: several outputs, or one that is not a batch of maps of known size.
    """
    model = fix_shape.apply(model, replace(spec, shape=(*spec.shape[:2], *size_hw))).model
    if not _is_known(model):
        model = fold_constants.apply(model).model
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
