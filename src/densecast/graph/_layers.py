"""Lists an ONNX graph's layers with weights: parameters, multiplications at one input shape, number types."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from densecast.errors import BadShapeError
from densecast.graph import _tensors, fix_shape, fold_constants
from densecast.spec.layer import Layer
from densecast.spec.tensor import Dim, TensorSpec

# Where the weight, and the bias, of each operator is among its inputs.
_WEIGHTS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "ConvInteger": (1,),
    "QLinearConv": (3, 8),
    "FusedConv": (1, 2),
    "Gemm": (1, 2),
    "QGemm": (3, 6),
    "MatMul": (0, 1),
    "FusedMatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    "BatchNormalization": (1, 2, 3, 4),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "PRelu": (1,),
}
_PRODUCTS = {"MatMul": (0, 1), "FusedMatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)}
# What passes a weight on as it is, but for its numbers' type.
_PASSING = frozenset({"DequantizeLinear", "QuantizeLinear", "Cast", "Transpose", "Identity", "Reshape", "Unsqueeze"})
Shapes = Mapping[str, tuple[int | None, ...] | None]


@dataclass(frozen=True, slots=True)
class _Constant:
    """A constant's shape and the name of its number type."""

    shape: tuple[int, ...]
    dtype: str


def fixed(model: onnx.ModelProto, inputs: tuple[TensorSpec, ...]) -> onnx.ModelProto:
    """The graph for inputs of these fixed shapes, with all shapes inferred that can be.

    Raises:
        BadGraphError: it does not take them.
    """
    for tensor in inputs:
        model = fix_shape.apply(model, tensor).model
    model = fold_constants.apply(model).model
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError):
        return model


def layers_of(
    model: onnx.ModelProto, precision_of: Callable[[str, str], str] = lambda weight, dtype: dtype
) -> tuple[Layer, ...]:
    """The layers in the graph's order; multiplications are for its own shapes.

    `precision_of` tells the number type of a layer from its weight's name and type.
    """
    graph = model.graph
    constants = _constants(graph)
    producers = _tensors.producers(graph)
    shapes: dict[str, tuple[int | None, ...] | None] = {
        value.name: _tensors.shape(value) for value in (*graph.input, *graph.value_info, *graph.output)
    }
    shapes |= {name: constant.shape for name, constant in constants.items()}
    found = []
    for node in graph.node:
        if node.op_type not in _WEIGHTS:
            continue
        sources = [_source(node.input[place], producers) for place in _WEIGHTS[node.op_type] if place < len(node.input)]
        weights = [name for name in sources if name in constants]
        if not weights and node.op_type not in _PRODUCTS:
            continue
        output = shapes.get(node.output[0])
        found.append(
            Layer(
                node.name or node.output[0],
                node.op_type,
                tuple(size or 0 for size in output) if output is not None and None not in output else (),
                sum(math.prod(constants[name].shape) for name in weights),
                _macs(node, shapes),
                precision_of(weights[0], constants[weights[0]].dtype) if weights else "float32",
            )
        )
    return tuple(found)


def parameters(model: onnx.ModelProto) -> int:
    """All weights of the graph's layers, each counted once, however many layers share it."""
    constants, producers = _constants(model.graph), _tensors.producers(model.graph)
    names = {
        _source(node.input[place], producers)
        for node in model.graph.node
        for place in _WEIGHTS.get(node.op_type, ())
        if place < len(node.input)
    }
    return sum(math.prod(constants[name].shape) for name in names if name in constants)


def _constants(graph: onnx.GraphProto) -> dict[str, _Constant]:
    found = {tensor.name: _described(tensor) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                found[node.output[0]] = _described(attribute.t)
    return found


def _described(tensor: Any) -> _Constant:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return _Constant(tuple(tensor.dims), dtype.name)


def _source(name: str, producers: Mapping[str, onnx.NodeProto]) -> str:
    """The tensor that a weight was before it was dequantised, cast or transposed."""
    seen = 0
    while name in producers and producers[name].op_type in _PASSING and producers[name].input and seen < len(producers):
        name, seen = producers[name].input[0], seen + 1
    return name


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int | None:
    """Multiplications of one run: of each value of the output of a convolution, as many as its window has weights."""
    kind = node.op_type
    if kind in _PRODUCTS:
        left, right = (shapes.get(node.input[place]) for place in _PRODUCTS[kind])
        output = shapes.get(node.output[0])
        if left is None or right is None or output is None or None in (*output, left[-1]):
            return None
        return math.prod(size or 0 for size in output) * (left[-1] or 0)
    if "Conv" not in kind and "Gemm" not in kind:
        return 0
    place = _WEIGHTS[kind][0]
    weight = shapes.get(node.input[place])
    counted = shapes.get(node.input[0] if kind == "ConvTranspose" else node.output[0])
    if weight is None or counted is None or None in weight or None in counted:
        return None
    sizes, values = [size or 0 for size in weight], math.prod(size or 0 for size in counted)
    if "Gemm" in kind:
        is_transposed = bool(_tensors.attribute(node, "transB", 0))
        return values * sizes[1 if is_transposed else 0]
    return values * math.prod(sizes[1:])


def shape_at(tensor: TensorSpec, size_hw: tuple[int, int] | None, near: int) -> tuple[int, ...]:
    """A shape of one image that an input takes: of `size_hw` pixels, else of about `near` each way.

    Raises:
        BadShapeError: it does not take that size.
    """
    if size_hw is None or len(tensor.shape) != 4:
        return tensor.typical_shape(near)
    for size, allowed, side in zip(size_hw, tensor.shape[2:], ("high", "wide"), strict=True):
        if not (allowed.admits(size) if isinstance(allowed, Dim) else allowed == size):
            raise BadShapeError(f"the network takes {tensor}, not images {size} pixels {side}.", field="size_hw")
    return (*tensor.typical_shape(near)[:2], *size_hw)
