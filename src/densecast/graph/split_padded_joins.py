"""Let a convolution read a concatenated map before its zero padding, as in UNet's decoder at odd sizes.

    features -----+
    x -> Pad 0 ---+-> Concat -> Conv

becomes Conv(features) + Conv(x), the second with the zeros as its own padding. Exact in real arithmetic; in floating
point the sum is taken in two parts. Any batch, height and width, fixed or open.

Why: a pad between layers is a copy of the map, keeps engines from joining maps without one, and in int8 keeps OpenVINO
from quantising what follows unless ranges are symmetric. Measured with OpenVINO 2026.4.1 on milesial's UNet at
640 x 959, where all four joins are padded, bfloat16, two threads (`benchmarks/passes.py`): 680 ms instead of 765.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from densecast.graph import _conv, _tensors
from densecast.graph._base import PassResult
from densecast.graph._conv import Conv2d
from densecast.graph._edit import Edit, shapes

_Constants = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of the concatenated maps: their names, their channels in the Concat, and their zero padding."""

    names: tuple[str, ...]
    channels: tuple[int, ...]
    pads: tuple[int, int, int, int]
    """top, left, bottom, right"""


def apply(model: onnx.ModelProto) -> PassResult:
    """Rewrite convolutions that read a concatenation of maps some of which are padded with zeros."""
    constants, sizes = _tensors.constants(model.graph), shapes(model)
    made_by = _tensors.producers(model.graph)
    edit, rewritten = Edit(model), 0
    for node in model.graph.node:
        conv = _conv.read(node, constants)
        joined = made_by.get(node.input[0]) if conv is not None else None
        if conv is None or conv.groups != 1 or joined is None:
            continue
        if joined.op_type != "Concat" or _tensors.attribute(joined, "axis", 0) != 1:
            continue
        channels = [sizes.get(name, (None, None))[1] for name in joined.input]
        known = [count for count in channels if count is not None]
        if len(known) < len(channels):
            continue
        parts = _parts(joined, known, made_by, constants, conv)
        if len(parts) > 1:
            edit.replace(node, _rewritten(edit, conv, parts))
            rewritten += 1
    if not rewritten:
        return PassResult(model, False, "no convolution reads a padded map beside others")
    return PassResult(edit.done(), True, f"{rewritten} convolutions read padded maps unpadded")


def _parts(
    joined: onnx.NodeProto,
    channels: list[int],
    made_by: Mapping[str, onnx.NodeProto],
    constants: _Constants,
    conv: Conv2d,
) -> list[_Part]:
    """The unpadded maps as one part, then every padded map as a part of its own."""
    plain: list[str] = []
    plain_channels: list[int] = []
    padded: list[_Part] = []
    ends = itertools.accumulate(channels)
    for name, count, end in zip(joined.input, channels, ends, strict=True):
        own = tuple(range(end - count, end))
        pads = _zeros_around(made_by.get(name), constants)
        if pads is None or not _within_reach(conv, pads):
            plain.append(name)
            plain_channels.extend(own)
        else:
            padded.append(_Part((made_by[name].input[0],), own, pads))
    rest = [_Part(tuple(plain), tuple(plain_channels), (0, 0, 0, 0))] if plain else []
    return [*rest, *padded] if padded else rest


def _zeros_around(node: onnx.NodeProto | None, constants: _Constants) -> tuple[int, int, int, int] | None:
    """The zero padding that a node adds; None if it does anything else."""
    if node is None or node.op_type != "Pad" or _tensors.attribute(node, "mode", "constant") != "constant":
        return None
    amounts, value, axes = (*node.input[1:], "", "", "")[:3]
    if amounts not in constants or axes or (value and (value not in constants or constants[value].any())):
        return None
    before, after = np.split(constants[amounts], 2)
    if before.size != 4 or min(*before, *after) < 0 or before[:2].any() or after[:2].any():
        return None
    return int(before[2]), int(before[3]), int(after[2]), int(after[3])


def _within_reach(conv: Conv2d, pads: tuple[int, int, int, int]) -> bool:
    """Whether every output reads at least one pixel of the map, as engines' padded kernels require."""
    reach = [(taps - 1) * step for taps, step in zip(conv.kernel_hw, conv.dilations, strict=True)]
    return all(own + more <= reach[side % 2] for side, (own, more) in enumerate(zip(conv.pads, pads, strict=True)))


def _rewritten(edit: Edit, conv: Conv2d, parts: list[_Part]) -> list[onnx.NodeProto]:
    node = conv.node
    name, total = node.output[0], ""
    nodes: list[onnx.NodeProto] = []
    for index, part in enumerate(parts):
        source = part.names[0]
        if len(part.names) > 1:
            source = edit.name(f"{name}_joined")
            nodes.append(edit.node("Concat", part.names, source, axis=1))
        weights = edit.constant(f"{name}_weights{index}", conv.weights[:, list(part.channels)])
        share = edit.name(f"{name}_share{index}")
        nodes.append(
            edit.node(
                "Conv",
                [source, weights, *(node.input[2:] if index == 0 else ())],
                share,
                name=node.name if index == 0 else "",
                kernel_shape=list(conv.kernel_hw),
                strides=list(conv.strides),
                dilations=list(conv.dilations),
                pads=[own + more for own, more in zip(conv.pads, part.pads, strict=True)],
            )
        )
        if total:
            total, before = edit.name(f"{name}_sum{index}"), total
            nodes.append(edit.node("Add", [before, share], total))
        else:
            total = share
    nodes[-1].output[0] = name
    return nodes
