"""Lists the layers of a built OpenVINO model: weights and multiplications of the model, number types of what runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densecast.backends import _openvino_model
from densecast.spec.layer import Layer
from densecast.spec.tensor import TensorSpec

_TRANSPOSED = frozenset({"ConvolutionBackpropData", "GroupConvolutionBackpropData"})
_GROUPED = frozenset({"GroupConvolution", "GroupConvolutionBackpropData"})
_WEIGHTED = _TRANSPOSED | _GROUPED | {"Convolution", "MatMul"}
_PASSING = frozenset(
    {"Convert", "Reshape", "Unsqueeze", "Squeeze", "Transpose", "FakeQuantize", "Multiply", "Subtract"}
)
# What the engine says that a layer of the model became part of.
_ORIGINAL = "originalLayersNames"


def layers(
    path: Path,
    inputs: tuple[TensorSpec, ...],
    shape: tuple[int, ...],
    settings: Mapping[str, str],
    types: Mapping[str, str],
) -> tuple[Layer, ...]:
    """The layers with weights at a shape of the first input, each with the number type that the engine runs it in."""
    ov = _openvino_model.imported()
    core = ov.Core()
    model = core.read_model(path)
    shapes = {spec.name: ov.PartialShape(list(spec.typical_shape(shape[-1], shape[0]))) for spec in inputs[1:]}
    model.reshape({inputs[0].name: ov.PartialShape(list(shape)), **shapes})
    ran: dict[str, str] = {}
    for operation in core.compile_model(model, "CPU", dict(settings)).get_runtime_model().get_ops():
        about = operation.get_rt_info()
        if _ORIGINAL in about and "runtimePrecision" in about:
            kind = about["runtimePrecision"].astype(str)
            for name in about[_ORIGINAL].astype(str).split(","):
                ran[name] = types.get(kind, kind)
    return tuple(
        _layer(node, ran.get(node.get_friendly_name(), ""))
        for node in model.get_ordered_ops()
        if node.get_type_name() in _WEIGHTED
    )


def _layer(node: Any, precision: str) -> Layer:
    kind = node.get_type_name()
    weight, output = tuple(node.get_input_shape(1)), tuple(node.get_output_shape(0))
    is_constant = _is_constant(node.input_value(1).get_node())
    if kind == "MatMul":
        # The side that is summed over: the last of the left input, or the one before where that is transposed.
        left = tuple(node.get_input_shape(0))
        macs = math.prod(output) * left[-2 if node.get_attributes().get("transpose_a") else -1]
    else:
        counted = tuple(node.get_input_shape(0)) if kind in _TRANSPOSED else output
        # [G, outputs, inputs, ...] of groups, else [outputs, inputs, ...]; transposed [inputs, outputs, ...].
        macs = math.prod(counted) * math.prod(weight[2 if kind in _GROUPED else 1 :])
    return Layer(node.get_friendly_name(), kind, output, math.prod(weight) if is_constant else 0, macs, precision)


def _is_constant(node: Any) -> bool:
    while node.get_type_name() in _PASSING:
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")
