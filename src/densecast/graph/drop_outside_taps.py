"""Remove kernel taps of convolutions that only ever read zero padding.

A 3x3 kernel at dilation 18 over a map of 16 rows is a single row: the other two always lie outside. Exact: what is
left out are products with zero. Height and width must be fixed.
"""

from __future__ import annotations

import onnx

from densecast.graph import _conv, _tensors
from densecast.graph._base import PassResult
from densecast.graph._conv import Conv2d
from densecast.graph._edit import Edit, shapes


def apply(model: onnx.ModelProto) -> PassResult:
    """Crop every convolution's kernel to the taps that can fall on its map."""
    constants = _tensors.constants(model.graph)
    sizes = shapes(model)
    edit, removed, unknown = Edit(model), 0, 0
    for node in model.graph.node:
        conv = _conv.read(node, constants)
        if conv is None or conv.kernel_hw == (1, 1):
            continue
        height, width = (*sizes.get(node.input[0], ()), None, None, None, None)[2:4]
        if height is None or width is None:
            unknown += 1
            continue
        rows, columns = _inside(conv, 0, height), _inside(conv, 1, width)
        gone = conv.kernel_hw[0] * conv.kernel_hw[1] - len(rows) * len(columns)
        if gone and rows and columns:
            edit.replace(node, [_cut(edit, conv, rows, columns)])
            removed += gone
    open_note = f"; {unknown} convolutions have open sizes" if unknown else ""
    if not removed:
        return PassResult(model, False, "every tap falls on its map somewhere" + open_note)
    return PassResult(edit.done(), True, f"{removed} taps that always fell outside their map removed" + open_note)


def _inside(conv: Conv2d, axis: int, size: int) -> range:
    """The kernel's taps along an axis that fall on the map for at least one output pixel.

    All of them where a cut would begin inside the map, which padding cannot express.
    """
    taps, step, stride = conv.kernel_hw[axis], conv.dilations[axis], conv.strides[axis]
    before, after = conv.pads[axis], conv.pads[axis + 2]
    last = (size + before + after - (taps - 1) * step - 1) // stride
    seen = [tap for tap in range(taps) if tap * step - before < size and last * stride + tap * step - before >= 0]
    if not seen or before - seen[0] * step < 0 or after - (taps - 1 - seen[-1]) * step < 0:
        return range(taps)
    return range(seen[0], seen[-1] + 1)


def _cut(edit: Edit, conv: Conv2d, rows: range, columns: range) -> onnx.NodeProto:
    name = conv.node.output[0]
    weights = conv.weights[:, :, rows.start : rows.stop, columns.start : columns.stop]
    down, across = conv.dilations
    top, left, bottom, right = conv.pads
    pads = [
        top - rows.start * down,
        left - columns.start * across,
        bottom - (conv.kernel_hw[0] - rows.stop) * down,
        right - (conv.kernel_hw[1] - columns.stop) * across,
    ]
    source, _, *bias = conv.node.input
    return edit.node(
        "Conv",
        [source, edit.constant(f"{name}_inside", weights), *bias],
        name,
        name=conv.node.name,
        kernel_shape=[len(rows), len(columns)],
        strides=list(conv.strides),
        dilations=list(conv.dilations),
        pads=pads,
        group=conv.groups,
    )
