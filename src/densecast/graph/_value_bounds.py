"""Bounds of the values that a tensor of a graph can take, whatever the image: a sigmoid's lie between 0 and 1.

Interval arithmetic from the last operators upwards: each operator's bounds follow from those of its inputs (Moore,
Interval Analysis, 1966). What is not known has no bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from densecast.graph import _tensors

Bounds = tuple[float, float]

UNKNOWN: Bounds = (-math.inf, math.inf)
_UNIT: Bounds = (0.0, 1.0)
# Deeper than any end of a network; a graph's own depth is bounded by what Python can nest.
_DEEPEST = 64

_FIXED: dict[str, Bounds] = {
    "Sigmoid": _UNIT,
    "HardSigmoid": _UNIT,
    "Softmax": _UNIT,
    "LogSoftmax": (-math.inf, 0.0),
    "Tanh": (-1.0, 1.0),
    "Softsign": (-1.0, 1.0),
    "Erf": (-1.0, 1.0),
    "Softplus": (0.0, math.inf),
    "ArgMax": (0.0, math.inf),
    "ArgMin": (0.0, math.inf),
    **dict.fromkeys(
        ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Not", "And", "Or", "Xor", "IsNaN"), _UNIT
    ),
}
# What takes values as they are, a part of them, or means of them.
_KEEPING = {
    "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Gather", "GatherND",
    "GatherElements", "Split", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "MaxPool", "GlobalMaxPool",
    "GlobalAveragePool", "ReduceMax", "ReduceMin", "ReduceMean", "Dropout", "Upsample",
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "Relu": lambda x: max(x, 0.0),
    "Exp": lambda x: math.exp(x) if x < 700 else math.inf,
    "Log": lambda x: math.log(x) if x > 0 else -math.inf,
    "Sqrt": lambda x: math.sqrt(max(x, 0.0)),
    "Floor": lambda x: math.floor(x) if math.isfinite(x) else x,
    "Ceil": lambda x: math.ceil(x) if math.isfinite(x) else x,
    "Round": lambda x: round(x) if math.isfinite(x) else x,
}
"""Functions that rise with their argument."""


def of(model: onnx.ModelProto, name: str) -> Bounds:
    """Least and largest value that the tensor can have; infinite where nothing is known."""
    walk = _Walk(model.graph)
    return walk.of(name, 0)


class _Walk:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self._makers = _tensors.producers(graph)
        self._constants = _tensors.constants(graph) | _short_constants(graph)
        self._known: dict[str, Bounds] = {}

    def of(self, name: str, depth: int) -> Bounds:
        if name in self._known:
            return self._known[name]
        constant = self._constants.get(name)
        if constant is not None:
            bounds = _of_constant(constant)
        elif name not in self._makers or depth > _DEEPEST:
            bounds = UNKNOWN
        else:
            bounds = self._made(self._makers[name], depth + 1)
            bounds = UNKNOWN if any(map(math.isnan, bounds)) else bounds
        self._known[name] = bounds
        return bounds

    def _made(self, node: onnx.NodeProto, depth: int) -> Bounds:
        kind = node.op_type
        if kind in _FIXED:
            return _FIXED[kind]

        def bounds(place: int) -> Bounds:
            return self.of(node.input[place], depth)

        if kind in _KEEPING:
            return bounds(0)
        if kind in _FUNCTIONS:
            low, high = bounds(0)
            return _FUNCTIONS[kind](low), _FUNCTIONS[kind](high)
        if kind in ("Concat", "Max", "Min", "Mean", "Sum", "Add", "Sub", "Mul", "Div", "Where"):
            places = range(1, 3) if kind == "Where" else range(len(node.input))
            return _combined(kind, [bounds(place) for place in places])
        if kind == "Cast":
            return bounds(0) if _tensors.attribute(node, "to", 0) != onnx.TensorProto.BOOL else _UNIT
        if kind == "Resize" and _tensors.attribute(node, "mode", "nearest") != "cubic":
            return _hull([bounds(0), _some_float(node, "extrapolation_value", 0.0)])
        if kind == "AveragePool":
            return _hull([bounds(0), (0.0, 0.0)])
        if kind == "Pad" and _tensors.attribute(node, "mode", "constant") == "constant":
            given = bounds(2) if len(node.input) > 2 and node.input[2] else _some_float(node, "value", 0.0)
            return _hull([bounds(0), given])
        if kind == "Pad":
            return bounds(0)
        if kind == "Clip":
            return self._clipped(node, bounds(0), depth)
        if kind == "Neg":
            low, high = bounds(0)
            return -high, -low
        if kind == "Abs":
            low, high = bounds(0)
            return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
        if kind == "Reciprocal":
            return _combined("Div", [(1.0, 1.0), bounds(0)])
        if kind == "OneHot":
            return bounds(2)
        return UNKNOWN

    def _clipped(self, node: onnx.NodeProto, inner: Bounds, depth: int) -> Bounds:
        """min(max(x, least), most), which rises with each of the three."""
        least, most = _some_float(node, "min", -math.inf), _some_float(node, "max", math.inf)
        if len(node.input) > 1 and node.input[1]:
            least = self.of(node.input[1], depth)
        if len(node.input) > 2 and node.input[2]:
            most = self.of(node.input[2], depth)
        low, high = (min(max(inner[end], least[end]), most[end]) for end in (0, 1))
        return low, high


def _short_constants(graph: onnx.GraphProto) -> dict[str, npt.NDArray[Any]]:
    """Values of Constant nodes that hold plain numbers instead of a tensor."""
    return {
        node.output[0]: np.asarray(onnx.helper.get_attribute_value(each))
        for node in graph.node
        if node.op_type == "Constant"
        for each in node.attribute
        if each.name in ("value_float", "value_floats", "value_int", "value_ints")
    }


def _combined(kind: str, parts: list[Bounds]) -> Bounds:
    lows, highs = [low for low, _ in parts], [high for _, high in parts]
    if kind in ("Concat", "Where"):
        return _hull(parts)
    if kind == "Max":
        return max(lows), max(highs)
    if kind == "Min":
        return min(lows), min(highs)
    if kind in ("Sum", "Add"):
        return sum(lows), sum(highs)
    if kind == "Mean":
        return sum(lows) / len(parts), sum(highs) / len(parts)
    (left, right) = parts[0], parts[1]
    if kind == "Sub":
        return left[0] - right[1], left[1] - right[0]
    if kind == "Div":
        if right[0] <= 0 <= right[1]:
            return UNKNOWN
        right = (_inverse(right[1]), _inverse(right[0]))
    products = [_product(a, b) for a in left for b in right]
    return min(products), max(products)


def _product(left: float, right: float) -> float:
    """Of bounds: nothing times without end is nothing."""
    return 0.0 if left == 0 or right == 0 else left * right


def _inverse(value: float) -> float:
    return 0.0 if math.isinf(value) else 1 / value


def _hull(parts: list[Bounds]) -> Bounds:
    return min(low for low, _ in parts), max(high for _, high in parts)


def _some_float(node: onnx.NodeProto, name: str, default: float) -> Bounds:
    value = float(_tensors.attribute(node, name, default))
    return value, value


def _of_constant(values: npt.NDArray[Any]) -> Bounds:
    if values.dtype.kind not in "fiub" or not values.size or not np.isfinite(values.astype(np.float64)).all():
        return UNKNOWN
    return float(values.min()), float(values.max())
