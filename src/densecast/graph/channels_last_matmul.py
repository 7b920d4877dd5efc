"""Compute matrix products over pixels in channels-last layout, the engines' own memory layout (OCR's attention).

    x (n, c, h, w) -> Reshape (n, c, h*w) -> A @ x            becomes  (x, channels last, as (n, h*w, c)) @ A'
    A @ B (n, c, h*w) -> Reshape (n, c, h, w) -> Conv         becomes  B' @ A' (n, h*w, c) -> (n, h, w, c) -> Conv

by (A B)' = B' A', through products with one number and softmax in between. The same sums of the same products. Any
batch, height and width, fixed or open; the number of channels has to be known.

Why: a kernel for convolutions wants and gives each pixel's channels side by side. Rows of pixels, which PyTorch's code
asks for, mean a copy of the whole map before each product and another one after it; with rows of channels a change of
axes moves nothing. Measured with OpenVINO 2026.4.1 on OCRNet-hr18 at 1024 x 2048, one thread with AMX
(`benchmarks/passes.py`): 1.05 to 1.09 times faster in 16 bits, 1.04 in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from densecast.graph import _tensors
from densecast.graph._base import CHANNELS_LAST, PassResult
from densecast.graph._edit import Edit, shapes

_SWAPPED = [0, 2, 1]
_TO_LAST, _TO_SECOND = [0, 2, 3, 1], [0, 3, 1, 2]


def apply(model: onnx.ModelProto) -> PassResult:
    """Rewrite matrix products that read maps as rows of pixels, or whose result becomes a map."""
    graph = _Graph(model)
    edit, count = Edit(model), 0
    for node in model.graph.node:
        new = _into_map(graph, edit, node) or _out_of_map(graph, edit, node)
        if new:
            edit.replace(node, new)
            count += 1
    if not count:
        return PassResult(model, False, "no product reads or makes a map as rows of pixels")
    return PassResult(edit.done(), True, f"{count} products over pixels have the channels last")


class _Graph:
    """Facts about a graph before it is changed."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.sizes = shapes(model)
        self.constants: Mapping[str, npt.NDArray[Any]] = _tensors.constants(model.graph)
        self.made_by: Mapping[str, onnx.NodeProto] = _tensors.producers(model.graph)

    def flattens_map(self, node: onnx.NodeProto | None) -> bool:
        """Whether a node reshapes (n, c, h, w) to (n, c, h * w)."""
        if node is None or node.op_type != "Reshape":
            return False
        return self._same(node.input[0], node.output[0])

    def unflattens_map(self, node: onnx.NodeProto) -> bool:
        """Whether a node reshapes (n, c, h * w) to (n, c, h, w)."""
        return node.op_type == "Reshape" and self._same(node.output[0], node.input[0])

    def _same(self, whole: str, flat: str) -> bool:
        """Whether (n, c, h, w) and (n, c, l) hold the same pixels, the channels known."""
        map_sizes, row_sizes = self.sizes.get(whole, ()), self.sizes.get(flat, ())
        if len(map_sizes) != 4 or len(row_sizes) != 3 or row_sizes[1] is None:
            return False
        height, width, pixels = *map_sizes[2:], row_sizes[2]
        if height is not None and width is not None and pixels is not None and height * width != pixels:
            return False
        return map_sizes[:2] == row_sizes[:2]

    def swaps(self, node: onnx.NodeProto | None) -> bool:
        """Whether a node swaps the last two of three axes."""
        return node is not None and node.op_type == "Transpose" and _tensors.attribute(node, "perm", None) == _SWAPPED


def _into_map(graph: _Graph, edit: Edit, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Rewrite a product that becomes a map, so that the map is made of rows of channels."""
    product = graph.made_by.get(node.input[0]) if graph.unflattens_map(node) else None
    if product is None or product.op_type != "MatMul":
        return None
    nodes: list[onnx.NodeProto] = []
    rows = _swapped(graph, edit, node.input[0], nodes)
    if rows is None:
        return None
    name = node.output[0]
    if node.input[1] in graph.constants:
        target_sizes = edit.constant(f"{name}_sizes", graph.constants[node.input[1]][_TO_LAST])
    else:
        target_sizes = edit.name(f"{name}_sizes")
        order = edit.integers(f"{name}_order", *_TO_LAST)
        nodes.append(edit.node("Gather", [node.input[1], order], target_sizes, axis=0))
    channels_last = edit.name(f"{name}{CHANNELS_LAST}")
    nodes.append(edit.node("Reshape", [rows, target_sizes], channels_last, name=node.name))
    nodes.append(edit.node("Transpose", [channels_last], name, perm=_TO_SECOND))
    return nodes


def _out_of_map(graph: _Graph, edit: Edit, node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Rewrite a sum over a map's pixels, so that the map is read as rows of channels."""
    if node.op_type != "MatMul" or not graph.flattens_map(graph.made_by.get(node.input[0])):
        return None
    nodes: list[onnx.NodeProto] = []
    rows = _swapped(graph, edit, node.output[0], nodes)
    if rows is None:
        return None
    nodes.append(edit.node("Transpose", [rows], node.output[0], perm=_SWAPPED))
    return nodes


def _swapped(graph: _Graph, edit: Edit, name: str, nodes: list[onnx.NodeProto]) -> str | None:
    """The tensor with its last two axes swapped, its nodes added to `nodes`; None where that would mean a copy."""
    node = graph.made_by.get(name)
    if node is None:
        return None
    if graph.swaps(node):
        return str(node.input[0])
    if graph.flattens_map(node):
        return _rows_of_channels(graph, edit, node, nodes)
    made = edit.name(f"{name}{CHANNELS_LAST}")
    if node.op_type == "MatMul":
        left, right = (_swapped(graph, edit, each, nodes) for each in reversed(node.input))
        if left is None or right is None:
            return None
        nodes.append(edit.node("MatMul", [left, right], made, name=node.name))
        return made
    if node.op_type == "Mul":
        numbers = [each for each in node.input if each in graph.constants and graph.constants[each].size == 1]
        others = [each for each in node.input if each not in numbers]
        rows = _swapped(graph, edit, others[0], nodes) if len(numbers) == len(others) == 1 else None
        if rows is None:
            return None
        nodes.append(edit.node("Mul", [rows, numbers[0]], made, name=node.name))
        return made
    if node.op_type == "Softmax" and len(graph.sizes.get(name, ())) == 3:
        axis = _tensors.attribute(node, "axis", -1) % 3
        rows = _swapped(graph, edit, node.input[0], nodes)
        if rows is None:
            return None
        nodes.append(edit.node("Softmax", [rows], made, name=node.name, axis=_SWAPPED[axis]))
        return made
    return None


def _rows_of_channels(graph: _Graph, edit: Edit, node: onnx.NodeProto, nodes: list[onnx.NodeProto]) -> str:
    """(n, c, h, w) as (n, h * w, c)."""
    channels = graph.sizes[node.input[0]][1]
    assert channels is not None
    transposed, rows = (edit.name(f"{name}{CHANNELS_LAST}") for name in (node.input[0], node.output[0]))
    nodes.append(edit.node("Transpose", [node.input[0]], transposed, perm=_TO_LAST))
    sizes = edit.constant(f"{node.output[0]}_sizes", np.array([0, -1, channels], np.int64))
    nodes.append(edit.node("Reshape", [transposed, sizes], rows, name=node.name))
    return rows
