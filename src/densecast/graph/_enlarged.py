"""Reads Resize nodes that enlarge a map by known factors, and makes the same enlargement of another map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from densecast.graph import _tensors
from densecast.graph._edit import Edit


def factors(
    resize: onnx.NodeProto, constants: Mapping[str, npt.NDArray[Any]], sizes: Mapping[str, tuple[int | None, ...]]
) -> tuple[float, float] | None:
    """Factors of height and width: as given, or from fixed sizes that are whole multiples; else None."""
    if len(resize.input) == 3 and resize.input[2] in constants:
        scales = constants[resize.input[2]]
        whole = scales.size == 4 and scales[0] == 1 and scales[1] == 1
        return (float(scales[2]), float(scales[3])) if whole else None
    before, after = sizes.get(resize.input[0], ())[2:], sizes.get(resize.output[0], ())[2:]
    if len(before) != 2 or len(after) != 2 or None in (*before, *after):
        return None
    pairs = [(old, new) for old, new in zip(before, after, strict=True) if old and new and new % old == 0]
    return (pairs[0][1] / pairs[0][0], pairs[1][1] / pairs[1][0]) if len(pairs) == 2 else None


def keeps_to_the_map(resize: onnx.NodeProto) -> bool:
    """Whether every pixel is a mean of the map's own, weights summing to one: no values from outside."""
    mode: str = _tensors.attribute(resize, "coordinate_transformation_mode", "half_pixel")
    return mode != "tf_crop_and_resize"


def again(edit: Edit, resize: onnx.NodeProto, source: str, output: str, scales: tuple[float, float]) -> onnx.NodeProto:
    """The same enlargement of another map, of any number of channels."""
    node = onnx.NodeProto()
    node.CopyFrom(resize)
    # By factors, not by sizes: those would name the number of channels.
    node.input[:] = [
        source,
        *resize.input[1:2],
        edit.constant(f"{output}_scales", np.array((1, 1, *scales), np.float32)),
    ]
    node.output[0] = output
    for index in reversed(range(len(node.attribute))):
        if node.attribute[index].name in ("axes", "keep_aspect_ratio_policy"):
            del node.attribute[index]
    return node
