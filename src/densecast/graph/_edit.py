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
    """Collects replacements and returns the new model; the original model is not modified."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._instead: dict[str, Sequence[onnx.NodeProto]] = {}
        self._new: list[onnx.TensorProto] = []
        self._taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
        self._taken |= {tensor.name for tensor in model.graph.initializer}

    def name(self, base: str) -> str:
        """A unique tensor name: `base`, numbered if it is taken."""
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name

    def constant(self, base: str, values: npt.NDArray[Any]) -> str:
        """Add an initializer; returns its name."""
        name = self.name(base)
        self._new.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def integers(self, base: str, *values: int) -> str:
        """Add an initializer of integers; returns its name."""
        return self.constant(base, np.array(values, np.int64))

    def node(
        self, kind: str, inputs: Sequence[str], output: str, *, name: str = "", **attributes: Any
    ) -> onnx.NodeProto:
        """Make a node with one output of the same name; `name` overrides the node's name."""
        return helper.make_node(kind, list(inputs), [output], name=name or output, **attributes)

    def replace(self, old: onnx.NodeProto, new: Sequence[onnx.NodeProto]) -> None:
        """Replace node `old` by `new`, the last of which produces its output."""
        self._instead[old.output[0]] = new

    def done(self) -> onnx.ModelProto:
        """The new model, without unused nodes and initializers."""
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
    """The graph's opset version in the default ONNX domain."""
    return next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)


def shapes(model: onnx.ModelProto) -> dict[str, tuple[int | None, ...]]:
    """Inferred sizes of every tensor; None for dynamic ones."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError:
        inferred = model
    graph = inferred.graph
    known_sizes = {
        value.name: sizes
        for value in (*graph.value_info, *graph.input, *graph.output)
        if (sizes := _tensors.shape(value)) is not None
    }
    return known_sizes | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
