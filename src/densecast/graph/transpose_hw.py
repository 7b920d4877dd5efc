"""Compute a network with height and width transposed in every layer, and transposed back at the outputs.

    image -> Transpose -> layers with their kernels, strides, pads transposed -> Transpose -> output

Exact: the same sums of the same products. Two transposes are added, of the image and of the outputs.

Why: OpenVINO's convolutions on AMX cut the rows of a map into blocks, and are slow where a row's length does not
divide well; the number of rows costs nothing. Measured with 2026.4.1 on milesial's UNet at 640 x 959 in bfloat16, two
threads (`benchmarks/passes.py`): 395 ms instead of 765, and 356 with `split_padded_joins` as well.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from densecast.graph import _tensors
from densecast.graph._base import TRANSPOSED, PassResult
from densecast.graph._edit import shapes

# Lengths of rows that divide well, as measured; short rows are one block anyway.
EVEN_LENGTH = 16
SHORT_ROW = 256
# Numbers in a row, of all channels. UNets that read 8 or 16 channels in rows of 479, or 8, 16, 32 or 64 in rows of 959,
# were 0.99, 1.3, 1.15, 1.2, 1.5 and 2 times as fast transposed, in float16; in int8 the first 0.9 and the last 1.7.
LEAST_ROW = 6000
_SWAPPED = (0, 1, 3, 2)

# Operators that treat every pixel alike, or work along channels.
_PIXELWISE = frozenset(
    {
        "BatchNormalization", "Cast", "Clip", "Elu", "Erf", "Exp", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid",
        "HardSwish", "Identity", "LeakyRelu", "Log", "Neg", "Relu", "Reciprocal", "Sigmoid", "Softplus", "Sqrt", "Tanh",
    }
)  # fmt: skip
_BROADCASTING = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "PRelu"})
_WINDOWED = frozenset({"Conv", "ConvTranspose", "MaxPool", "AveragePool"})
_ALONG_CHANNELS = frozenset({"Concat", "Split", "Softmax", "LogSoftmax", "ArgMax"})


class _UnknownError(Exception):
    """An operator that cannot be transposed; the message says why."""


def apply(model: onnx.ModelProto, *, only_slow: bool = True) -> PassResult:
    """Transpose a network of maps; with `only_slow` only if its rows are awkwardly long and its columns are not."""
    inputs = _tensors.inputs(model.graph)
    size = _tensors.shape(inputs[0]) if len(inputs) == 1 else None
    if size is None or len(size) != 4 or any(len(_tensors.shape(each) or ()) != 4 for each in model.graph.output):
        return PassResult(model, False, "not a network from one map to maps")
    height, width = size[2:]
    if only_slow and (
        height is None or width is None or width <= SHORT_ROW or width % EVEN_LENGTH == 0 or height % EVEN_LENGTH
    ):
        return PassResult(model, False, "its rows are not of an awkward length, or its columns are as well")
    if only_slow and _largest_long_row(model) < LEAST_ROW:
        return PassResult(model, False, "its long rows have few channels: transposing them would not pay off")
    try:
        return PassResult(
            _transposed(model), True, f"height and width transposed, {width}x{height} instead of {height}x{width}"
        )
    except _UnknownError as error:
        return PassResult(model, False, f"cannot transpose {error}")


def _largest_long_row(model: onnx.ModelProto) -> int:
    """The largest number of values, over all channels, in a long row that a convolution reads."""
    sizes = shapes(model)
    read = (sizes.get(node.input[0], ()) for node in model.graph.node if node.op_type == "Conv")
    rows = ((each[1] or 0, each[3] or 0) for each in read if len(each) == 4)
    return max((channels * width for channels, width in rows if width > SHORT_ROW), default=0)


def _transposed(model: onnx.ModelProto) -> onnx.ModelProto:
    changed = copy.deepcopy(model)
    graph = changed.graph
    constants = _tensors.constants(graph)
    image, outputs = _tensors.inputs(graph)[0].name, [each.name for each in graph.output]
    names = {name: f"{name}{TRANSPOSED}" for name in (image, *outputs)}
    new: dict[str, onnx.TensorProto] = {}

    def transposed(name: str, transpose: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> str:
        """Add a transposed copy of a weight; returns its name."""
        target = f"{name}{TRANSPOSED}"
        new[target] = numpy_helper.from_array(np.ascontiguousarray(transpose(constants[name])), target)
        return target

    for node in graph.node:
        if node.op_type == "Constant":
            continue
        _transpose_node(node, constants, transposed)
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    first = helper.make_node("Transpose", [image], [names[image]], name=names[image], perm=_SWAPPED)
    last = [
        helper.make_node("Transpose", [names[name]], [name], name=f"{name}_upright", perm=_SWAPPED) for name in outputs
    ]
    nodes = [first, *graph.node, *last]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(new.values())
    _tensors.drop_unneeded(graph)
    return changed


def _transpose_node(
    node: onnx.NodeProto,
    constants: Mapping[str, npt.NDArray[Any]],
    transposed: Callable[[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]], str],
) -> None:
    kind = node.op_type
    if kind in _WINDOWED:
        _transpose_window(node)
        if len(node.input) > 1:
            if node.input[1] not in constants:
                raise _UnknownError(f"{kind} {node.name}: its weights are computed")
            node.input[1] = transposed(node.input[1], lambda weights: weights.swapaxes(-1, -2))
    elif kind in _BROADCASTING:
        for index, name in enumerate(node.input):
            if name in constants and constants[name].size > 1:
                if constants[name].ndim < 2:
                    raise _UnknownError(f"{kind} {node.name}: it has a value for every column")
                node.input[index] = transposed(name, lambda values: values.swapaxes(-1, -2))
    elif kind in _ALONG_CHANNELS:
        if _tensors.attribute(node, "axis", {"Concat": None, "Split": 0, "ArgMax": 0}.get(kind, -1)) not in (0, 1, -3):
            raise _UnknownError(f"{kind} {node.name}: it works along rows or columns")
        if kind == "ArgMax" and not _tensors.attribute(node, "keepdims", 1):
            raise _UnknownError(f"{kind} {node.name}: it drops the channels' axis")
    elif kind in ("Pad", "Resize"):
        for index, name in enumerate(node.input[1:], 1):
            if not name or (kind == "Pad" and index == 2):
                continue
            if name not in constants or constants[name].size not in (0, 4, 8):
                raise _UnknownError(f"{kind} {node.name}: its sizes are computed")
            if constants[name].size:
                node.input[index] = transposed(name, _transpose_sizes)
    elif kind not in _PIXELWISE:
        raise _UnknownError(f"{kind} {node.name}")


def _transpose_sizes(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Transpose (n, c, h, w) sizes or scales, or four pads before and four after."""
    return values.reshape(-1, 4)[:, list(_SWAPPED)].reshape(-1)


def _transpose_window(node: onnx.NodeProto) -> None:
    if _tensors.attribute(node, "output_shape", None) is not None:
        raise _UnknownError(f"{node.op_type} {node.name}: its output's size is given")
    for each in node.attribute:
        if each.name in ("kernel_shape", "strides", "dilations", "output_padding", "pads"):
            if len(each.ints) not in (2, 4):
                raise _UnknownError(f"{node.op_type} {node.name}: it has other than two sides")
            each.ints[:] = np.reshape(each.ints, (-1, 2))[:, ::-1].reshape(-1).tolist()
