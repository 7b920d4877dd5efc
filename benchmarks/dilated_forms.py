"""One dilated 3x3 convolution written in several ways that are equal in real arithmetic, as ONNX graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from densecast.graph import split_dilated_convs

Shape = tuple[int, int, int, int]


class _Graph:
    """Nodes and constants between a ReLU before, as these layers have, and one after."""

    def __init__(self, shape: Shape) -> None:
        self.channels, self.outputs, self.height, self.width = self.shape = shape
        random = np.random.default_rng(0)
        values = random.standard_normal((self.outputs, self.channels, 3, 3), dtype=np.float32)
        self.weights = values / np.float32(np.sqrt(9 * self.channels))
        self.bias = 0.1 * random.standard_normal(self.outputs, dtype=np.float32)
        self.nodes = [helper.make_node("Relu", ["image"], ["x"])]
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: Sequence[Any], **attributes: Any) -> str:
        """One node; arrays and lists of integers among its inputs become constants."""
        name, names = f"t{len(self.nodes)}", []
        for each in inputs:
            if not isinstance(each, str):
                array = each if isinstance(each, np.ndarray) else np.array(each, np.int64)
                self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), f"c{len(self.constants)}"))
                each = self.constants[-1].name
            names.append(each)
        self.nodes.append(helper.make_node(kind, names, [name], **attributes))
        return name

    def model(self, last: str) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Relu", [last], ["y"]))
        sizes = [self.height, self.width]
        graph = helper.make_graph(
            self.nodes,
            "form",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, self.channels, *sizes])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, self.outputs, *sizes])],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def dilated(shape: Shape, dilation: int) -> onnx.ModelProto:
    """As exported."""
    graph = _Graph(shape)
    settings = {"pads": [dilation] * 4, "dilations": [dilation] * 2}
    return graph.model(graph.add("Conv", ["x", graph.weights, graph.bias], **settings))


def rows(shape: Shape, dilation: int) -> onnx.ModelProto:
    """One 1x3 convolution for all rows of the kernel, its parts moved and summed: what densecast does."""
    return split_dilated_convs.apply(dilated(shape, dilation), min_channels=1, min_dilation=1).model


def nine_products(shape: Shape, dilation: int) -> onnx.ModelProto:
    """Nine 1x1 convolutions, their results moved and summed."""
    graph = _Graph(shape)
    total = graph.add("Conv", ["x", graph.weights[:, :, 1:2, 1:2], graph.bias])
    for row in range(3):
        for column in range(3):
            if row == column == 1:
                continue
            down, right = (row - 1) * dilation, (column - 1) * dilation
            part = graph.add("Conv", ["x", graph.weights[:, :, row : row + 1, column : column + 1]])
            start = [max(down, 0), max(right, 0)]
            end = [shape[2] + min(down, 0), shape[3] + min(right, 0)]
            part = graph.add("Slice", [part, start, end, [2, 3]])
            pads = [0, 0, max(-down, 0), max(-right, 0), 0, 0, max(down, 0), max(right, 0)]
            total = graph.add("Add", [total, graph.add("Pad", [part, pads])])
    return graph.model(total)


def space_to_batch(shape: Shape, dilation: int) -> onnx.ModelProto:
    """Every dilation-th pixel as an image of its own, a dense convolution over these, and back."""
    graph = _Graph(shape)
    channels, outputs, height, width = shape
    down, across = -(-height // dilation), -(-width // dilation)
    high, wide = down * dilation, across * dilation
    x = graph.add("Pad", ["x", [0, 0, 0, 0, 0, 0, high - height, wide - width]])
    x = graph.add("Reshape", [x, [-1, channels, down, dilation, across, dilation]])
    x = graph.add("Transpose", [x], perm=[0, 3, 5, 1, 2, 4])
    x = graph.add("Reshape", [x, [-1, channels, down, across]])
    x = graph.add("Conv", [x, graph.weights, graph.bias], pads=[1] * 4)
    x = graph.add("Reshape", [x, [-1, dilation, dilation, outputs, down, across]])
    x = graph.add("Transpose", [x], perm=[0, 3, 4, 1, 5, 2])
    x = graph.add("Reshape", [x, [-1, outputs, high, wide]])
    return graph.model(graph.add("Slice", [x, [0, 0], [height, width], [2, 3]]))


FORMS = {"dilated": dilated, "rows": rows, "nine products": nine_products, "space to batch": space_to_batch}


def quantised(model: Any, feed: np.ndarray) -> Any:
    """Calibrated by NNCF on the one feed it is then timed with."""
    from densecast.backends import _nncf
    from densecast.spec.options import QuantizeOptions

    return _nncf.quantize(model, [{"image": feed}], QuantizeOptions(calibration_method="minmax"), full_weights=True)
