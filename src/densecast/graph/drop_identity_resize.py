"""Remove Resize nodes whose output size equals their input size: bilinear and nearest resizing are then the identity.

MMSegmentation's HRNet resizes every fused branch a second time, in case sizes were odd; at multiples of 32 each of
these is an identity that engines still execute (22 of the 47 Resize nodes of OCRNet-HR18s at 512×1024).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import onnx
from onnx import numpy_helper

from densecast.graph._base import PassResult
from densecast.runtime import engine_words

# With these, output pixel x reads input pixel x exactly when the sizes agree.
_EXACT = {"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"}


def apply(model: onnx.ModelProto) -> PassResult:
    """Bypass every Resize whose static input and output shapes are equal."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        return PassResult(model, False, f"shapes cannot be inferred ({engine_words.reason(error)})")
    values = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    shapes = {value.name: _static_shape(value) for value in values}
    outputs = {value.name for value in model.graph.output}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    bypass = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "Resize"
        and _keeps_positions(node, constants)
        and node.output[0] not in outputs
        and shapes.get(node.input[0]) is not None
        and shapes.get(node.input[0]) == shapes.get(node.output[0])
    }
    if not bypass:
        return PassResult(model, False, "no Resize keeps its size, as far as shapes are known")
    changed = copy.deepcopy(model)
    remaining = [node for node in changed.graph.node if not (node.op_type == "Resize" and node.output[0] in bypass)]
    for node in remaining:
        node.input[:] = [_source(name, bypass) for name in node.input]
    del changed.graph.node[:]
    changed.graph.node.extend(remaining)
    return PassResult(changed, True, f"{len(bypass)} Resize nodes that kept their size removed")


def _source(name: str, bypass: dict[str, str]) -> str:
    while name in bypass:
        name = bypass[name]
    return name


def _static_shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    dims = value.type.tensor_type.shape.dim
    if not value.type.tensor_type.HasField("shape") or any(not dim.HasField("dim_value") for dim in dims):
        return None
    return tuple(dim.dim_value for dim in dims)


def _keeps_positions(node: onnx.NodeProto, constants: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Whether equal sizes imply identity: not with a scale near 1 that only rounds to the same size."""
    scales = constants.get(node.input[2]) if len(node.input) == 3 else None
    if len(node.input) < 4 and (scales is None or (scales != 1).any()):
        return False
    attributes = {attribute.name: attribute for attribute in node.attribute}
    mode = (
        attributes["coordinate_transformation_mode"].s.decode()
        if "coordinate_transformation_mode" in attributes
        else "half_pixel"
    )
    return mode in _EXACT
