"""Repairs sizes of a Resize that torch's exporter writes for scripts: a list of sizes taken for one number.

`interpolate(x, size=y.shape[-2:])` in a script is a list whose length the exporter does not see. It makes a second axis
of it and repeats it for each side of the image; the graph is then no valid ONNX.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import onnx

from densecast.graph import _tensors
from densecast.graph._base import PassResult

_SIZES = 3


def apply(model: onnx.ModelProto) -> PassResult:
    """Take the list itself where two copies of it, each with an axis more, are joined for a Resize."""
    if not any(_repeats(model.graph)):
        return PassResult(model, False, "no list of sizes is taken for one number")
    changed = copy.deepcopy(model)
    for joined, listed in [*_repeats(changed.graph)]:
        joined.CopyFrom(onnx.helper.make_node("Identity", [listed], list(joined.output), joined.name))
    return PassResult(changed, True, "lists of sizes are taken as they are")


def _repeats(graph: onnx.GraphProto) -> Iterator[tuple[onnx.NodeProto, str]]:
    """The nodes that join a list with itself for a Resize, each with the list."""
    makers = _tensors.producers(graph)
    for resize in graph.node:
        if resize.op_type != "Resize" or len(resize.input) <= _SIZES:
            continue
        whole = makers.get(resize.input[_SIZES])
        for part in whole.input if whole is not None and whole.op_type == "Concat" else ():
            joined = makers.get(part)
            while joined is not None and joined.op_type == "Cast":
                joined = makers.get(joined.input[0])
            listed = _repeated_list(joined, makers)
            if joined is not None and listed is not None:
                yield joined, listed


def _repeated_list(node: onnx.NodeProto | None, makers: dict[str, onnx.NodeProto]) -> str | None:
    """The list of sizes that a node joins with itself; None of one number, which is rightly repeated."""
    if node is None or node.op_type != "Concat" or len(node.input) < 2 or len(set(node.input)) > 1:
        return None
    widened = makers.get(node.input[0])
    if widened is None or widened.op_type != "Unsqueeze":
        return None
    sizes = makers.get(widened.input[0])
    return widened.input[0] if sizes is not None and sizes.op_type in ("Slice", "Shape") else None
