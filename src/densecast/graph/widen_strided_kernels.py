"""Widen kernels by a column of zeros where OpenVINO's AMX kernels would compute something else (SegFormer's attention).

    Conv 8x8, stride 8, of 32 channels    becomes    Conv 8x9, the last column 0, one more pixel of padding at the right

The same sums, and one pixel more of padding with one column more of kernel leaves the size of the output. Any size.

Why: OpenVINO 2026.4.1 reads a few channels as rows of 64 bytes, and where kernel and stride both span whole numbers of
such rows, without padding at the left, what it computes is wrong altogether: off by as much as the output is large,
in int8 for fewer than 64 channels and in bfloat16 for fewer than 32, on CPUs with AMX. With one column more the kernel
spans no whole number of rows. It costs one more column of products.
"""

from __future__ import annotations

import numpy as np
import onnx

from densecast.graph import _conv, _tensors
from densecast.graph._base import PassResult
from densecast.graph._conv import Conv2d
from densecast.graph._edit import Edit

_ROW_BYTES = 64
_VALUE_BYTES = (1, 2)  # of int8 and of bfloat16


def apply(model: onnx.ModelProto) -> PassResult:
    """Rewrite the convolutions that would be computed wrongly in int8 or in bfloat16."""
    constants = _tensors.constants(model.graph)
    edit, widened = Edit(model), 0
    for node in model.graph.node:
        conv = _conv.read(node, constants)
        if conv is not None and is_misread(conv):
            edit.replace(node, [_widened(edit, conv)])
            widened += 1
    if not widened:
        return PassResult(model, False, "no convolution has a kernel that engines misread")
    return PassResult(edit.done(), True, f"{widened} kernels widened by a column of zeros, which engines read rightly")


def is_misread(conv: Conv2d) -> bool:
    """Whether kernel and stride span whole numbers of rows of 64 bytes, in int8 or in bfloat16."""
    if conv.groups != 1 or conv.pads[1] or conv.dilations[1] != 1:
        return False
    for size in _VALUE_BYTES:
        pixel = conv.weights.shape[1] * size
        kernel, stride = conv.kernel_hw[1] * pixel, conv.strides[1] * pixel
        if pixel < _ROW_BYTES < kernel and kernel % _ROW_BYTES == 0 and stride % _ROW_BYTES == 0:
            return True
    return False


def _widened(edit: Edit, conv: Conv2d) -> onnx.NodeProto:
    node = onnx.NodeProto()
    node.CopyFrom(conv.node)
    weights = np.pad(conv.weights, ((0, 0), (0, 0), (0, 0), (0, 1)))
    node.input[1] = edit.constant(f"{node.output[0]}_weights", weights)
    top, left, bottom, right = conv.pads
    said = {"kernel_shape": list(weights.shape[2:]), "pads": [top, left, bottom, right + 1]}
    kept = [each for each in node.attribute if each.name not in (*said, "auto_pad")]
    del node.attribute[:]
    node.attribute.extend([*kept, *(onnx.helper.make_attribute(name, value) for name, value in said.items())])
    return node
