"""Split a dilated convolution by kernel row: the rows are computed side by side, then shifted and summed.

    y[r] = sum over k of (w[k] * x)[r + offset k]
    x -> Conv 1 x kw with kh times the outputs -> Split -> each part moved up or down, zeros following -> Add

A row of the kernel that looks beyond the map meets zeros in either form. Exact in real arithmetic; in floating point
the sum is taken in another order. Any batch, height and width, fixed or open.

Why: OpenVINO's 16-bit convolution on AMX slows down with the reach of kernels that read many channels. Measured with
2026.4.1 in bfloat16 (`benchmarks/passes.py --forms`): 2048 -> 512 channels, 3 x 3, 64 x 128 pixels took 580, 900 and
1183 ms on two threads at dilation 6, 12, 18, and 91, 82 and 80 ms split into rows (cut before they were padded, for
fixed heights only), nine 1 x 1 products with shifted sums 97 to 108, space to batch 92 to 198, on a machine that had
other work besides. In processor time of one thread it gains 0.85 at dilation 2, 3.2 at 3, 4.5 at 6, 12 at 18; with
1024 channels 1.07 at 6 and 1.5 at 18; with 512 or fewer it costs. In float32 it costs (0.84 to 0.92), in int8 it
gains 1.08 to 1.32 and quantises two sums that the network does not have.
"""

from __future__ import annotations

import numpy as np
import onnx

from densecast.graph import _conv, _tensors
from densecast.graph._base import PassResult
from densecast.graph._conv import Conv2d
from densecast.graph._edit import Edit, opset

# From the measurement above: the least for which this form is faster.
SLOW_CHANNELS = 2048
SLOW_DILATION = 3
_FAR = np.iinfo(np.int64).max


def apply(
    model: onnx.ModelProto, *, min_channels: int = SLOW_CHANNELS, min_dilation: int = SLOW_DILATION
) -> PassResult:
    """Rewrite convolutions with at least the given channels and dilation."""
    if opset(model) < 13:
        return PassResult(model, False, f"operators of version {opset(model)}; 13 is needed to split a tensor")
    constants = _tensors.constants(model.graph)
    convs = [conv for node in model.graph.node if (conv := _conv.read(node, constants)) is not None]
    dilated = [conv for conv in convs if conv.kernel_hw[0] > 1 and conv.dilations[0] > 1]
    chosen = [
        conv
        for conv in dilated
        if conv.dilations[0] >= min_dilation
        and conv.weights.shape[1] >= min_channels
        and conv.groups == 1
        and conv.keeps_size
        and 0 in _offsets(conv)
    ]
    if not chosen:
        return PassResult(
            model,
            False,
            f"of {len(dilated)} convolutions with dilated rows none reads {min_channels} channels or more "
            f"at dilation {min_dilation} or more and keeps its size",
        )
    edit = Edit(model)
    for conv in chosen:
        edit.replace(conv.node, _rewritten(edit, conv))
    rest = len(dilated) - len(chosen)
    note = f"{len(chosen)} dilated convolutions split into rows"
    return PassResult(edit.done(), True, note + (f", {rest} left as they were" if rest else ""))


def _offsets(conv: Conv2d) -> list[int]:
    """For each kernel row, its vertical offset from the output row."""
    return [row * conv.dilations[0] - conv.pads[0] for row in range(conv.kernel_hw[0])]


def _rewritten(edit: Edit, conv: Conv2d) -> list[onnx.NodeProto]:
    node, offsets = conv.node, _offsets(conv)
    out_channels, rows = conv.weights.shape[0], len(offsets)
    name = node.output[0]
    weights = np.concatenate([conv.weights[:, :, row : row + 1] for row in range(rows)])
    inputs = [node.input[0], edit.constant(f"{name}_rows_weights", weights)]
    if conv.bias is not None:
        bias = np.zeros((rows, out_channels), conv.bias.dtype)
        bias[offsets.index(0)] = conv.bias  # only the part that is not moved, so that no border goes without
        inputs.append(edit.constant(f"{name}_rows_bias", bias.reshape(-1)))
    _, left, _, right = conv.pads
    whole = edit.name(f"{name}_rows")
    parts = [edit.name(f"{name}_row{row}") for row in range(rows)]
    across = {"kernel_shape": [1, conv.kernel_hw[1]], "dilations": [1, conv.dilations[1]], "pads": [0, left, 0, right]}
    nodes = [edit.node("Conv", inputs, whole, name=node.name, **across)]
    sizes = edit.integers(f"{name}_row_channels", *[out_channels] * rows)
    nodes.append(onnx.helper.make_node("Split", [whole, sizes], parts, name=parts[0], axis=1))
    total = parts[offsets.index(0)]
    for part, offset in zip(parts, offsets, strict=True):
        if offset == 0:
            continue
        moved = edit.name(f"{part}_moved")
        nodes += _moved(edit, part, offset, moved)
        total, before = edit.name(f"{part}_sum"), total
        nodes.append(edit.node("Add", [before, moved], total))
    nodes[-1].output[0] = name
    return nodes


def _moved(edit: Edit, part: str, offset: int, moved: str) -> list[onnx.NodeProto]:
    """Shift a map: row r of the result is row r + offset; rows outside the map are zeros, however small the map."""
    above, below = max(-offset, 0), max(offset, 0)
    padded = edit.name(f"{part}_padded")
    pads = edit.integers(f"{part}_pads", 0, 0, above, 0, 0, 0, below, 0)
    start, end = edit.integers(f"{part}_start", below), edit.integers(f"{part}_end", -above if above else _FAR)
    return [
        edit.node("Pad", [part, pads], padded),
        edit.node("Slice", [padded, start, end, edit.integers(f"{part}_axis", 2)], moved),
    ]
