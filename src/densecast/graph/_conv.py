"""Reads a Conv node's attributes and weights for the passes over convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx

from densecast.graph._tensors import attribute


@dataclass(frozen=True, slots=True)
class Conv2d:
    """A 2-D convolution with constant weights (out, in / groups, kh, kw); `pads` are top, left, bottom, right."""

    node: onnx.NodeProto
    weights: npt.NDArray[Any]
    bias: npt.NDArray[Any] | None
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    groups: int

    @property
    def kernel_hw(self) -> tuple[int, int]:
        """Kernel height and width."""
        height, width = self.weights.shape[2:]
        return height, width

    @property
    def keeps_size(self) -> bool:
        """Whether output and input have the same height and width."""
        top, left, bottom, right = self.pads
        reach = [(taps - 1) * step for taps, step in zip(self.kernel_hw, self.dilations, strict=True)]
        return self.strides == (1, 1) and [top + bottom, left + right] == reach

    @property
    def is_pointwise(self) -> bool:
        """Whether this is a 1x1 convolution: each output pixel depends on one input pixel."""
        return self.kernel_hw == (1, 1) and self.keeps_size and self.pads == (0, 0, 0, 0) and self.groups == 1


def read(node: onnx.NodeProto, constants: Mapping[str, npt.NDArray[Any]]) -> Conv2d | None:
    """Read the node as a `Conv2d`; None if it is not one, or its weights or padding are not constant."""
    if node.op_type != "Conv" or node.input[1] not in constants or constants[node.input[1]].ndim != 4:
        return None
    if attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    has_bias = len(node.input) > 2 and bool(node.input[2])
    if has_bias and node.input[2] not in constants:
        return None
    strides = attribute(node, "strides", (1, 1))
    dilations = attribute(node, "dilations", (1, 1))
    top, left, bottom, right = attribute(node, "pads", (0, 0, 0, 0))
    return Conv2d(
        node,
        constants[node.input[1]],
        constants[node.input[2]] if has_bias else None,
        (strides[0], strides[1]),
        (dilations[0], dilations[1]),
        (top, left, bottom, right),
        attribute(node, "group", 1),
    )
