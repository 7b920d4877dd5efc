"""Builds a modified copy of a graph by replacing nodes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from densecast.graph import _tensors


class Edit:
    """Collects replacements, then gives the new model; the one it was made from is left alone."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._instead: dict[str, Sequence[onnx.NodeProto]] = {}
        self._new: list[onnx.TensorProto] = []
        self._taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
        self._taken |= {tensor.name for tensor in model.graph.initializer}

    def name(self, wanted: str) -> str:
        """`wanted`, numbered where the graph has such a tensor already."""
        found, number = wanted, 1
        while found in self._taken:
            number += 1
            found = f"{wanted}_{number}"
        self._taken.add(found)
        return found

    def constant(self, wanted: str, values: npt.NDArray[Any]) -> str:
        """A new weight; its name."""
        name = self.name(wanted)
        self._new.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def integers(self, wanted: str, *values: int) -> str:
        """A new list of integers; its name."""
        return self.constant(wanted, np.array(values, np.int64))

    def node(
        self, kind: str, inputs: Sequence[str], output: str, *, name: str = "", **attributes: Any
    ) -> onnx.NodeProto:
        """A node with one output, named like it; `name` keeps that of the node whose work it does."""
        return helper.make_node(kind, list(inputs), [output], name=name or output, **attributes)

    def replace(self, old: onnx.NodeProto, new: Sequence[onnx.NodeProto]) -> None:
        """Let `new` stand where `old` does; the last of them makes its output."""
        self._instead[old.output[0]] = new

    def done(self) -> onnx.ModelProto:
        """The new model, without what nobody reads any more."""
        changed = copy.deepcopy(self._model)
        nodes: list[onnx.NodeProto] = []
        for node in self._model.graph.node:
            nodes.extend(self._instead.get(node.output[0], (node,)))
        del changed.graph.node[:]
        changed.graph.node.extend(nodes)
        changed.graph.initializer.extend(self._new)
        _tensors.drop_unneeded(changed.graph)
        return changed


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the graph is written in."""
    return next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)


def shapes(model: onnx.ModelProto) -> dict[str, tuple[int | None, ...]]:
    """Every tensor's sizes, as far as they can be inferred; None for those that are open."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError:
        inferred = model
    graph = inferred.graph
    found = {
        value.name: sizes
        for value in (*graph.value_info, *graph.input, *graph.output)
        if (sizes := _tensors.shape(value)) is not None
    }
    return found | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
