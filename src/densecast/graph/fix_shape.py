"""Set fixed or bounded sizes on a graph's inputs, so that engines can fold all shape arithmetic."""

from __future__ import annotations

import copy

import onnx

from densecast.errors import BadGraphError
from densecast.graph._base import PassResult
from densecast.runtime import engine_words
from densecast.spec.tensor import TensorSpec


def apply(model: onnx.ModelProto, spec: TensorSpec) -> PassResult:
    """Set the input named by `spec` to its shape and type; shapes of intermediate tensors are inferred again.

    Raises:
        BadGraphError: no such input, one of another rank, or the sizes contradict the graph.
    """
    before = next((value for value in model.graph.input if value.name == spec.name), None)
    if before is None or len(before.type.tensor_type.shape.dim) != len(spec.shape):
        raise BadGraphError(f"the graph has no input {spec.name!r} with {len(spec.shape)} dimensions.")
    fixed = [size if isinstance(size, int) else size.name for size in spec.shape]
    if [dim.dim_value or dim.dim_param for dim in before.type.tensor_type.shape.dim] == fixed:
        return PassResult(model, False, f"{spec.name} already is {spec}")
    changed = copy.deepcopy(model)
    value = next(value for value in changed.graph.input if value.name == spec.name)
    for dim, size in zip(value.type.tensor_type.shape.dim, fixed, strict=True):
        dim.Clear()
        if isinstance(size, int):
            dim.dim_value = size
        else:
            dim.dim_param = size
    for output in changed.graph.output:
        output.type.tensor_type.ClearField("shape")
    del changed.graph.value_info[:]
    try:
        changed = onnx.shape_inference.infer_shapes(changed, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise BadGraphError(f"the graph cannot take {spec} ({engine_words.reason(error)}).") from None
    return PassResult(changed, True, f"{spec.name} is now {spec}")
