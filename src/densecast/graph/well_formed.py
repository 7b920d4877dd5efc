"""Brings graphs into the form that ONNX asks for and engines do without: nodes in order, shapes of outputs."""

from __future__ import annotations

import copy

import onnx

from densecast.graph import _tensors
from densecast.graph._base import PassResult


def apply(model: onnx.ModelProto) -> PassResult:
    """Sort the nodes of the graph and of its subgraphs; where outputs have no shape, infer it as far as it can be.

    Converters to float16 append their Casts at the end, and tools that cut a graph leave its new outputs without shape.
    """
    changed, notes = model, []
    if not all(_tensors.is_sorted(graph) for graph in _tensors.graphs(model.graph)):
        changed = copy.deepcopy(model)
        # Those inside first, as sorting what holds them copies its nodes.
        for graph in _tensors.graphs(changed.graph):
            _tensors.sort(graph)
        notes.append("nodes are in the order in which they are computed")
    if not all(value.type.tensor_type.HasField("shape") for value in model.graph.output):
        try:
            inferred = onnx.shape_inference.infer_shapes(changed)
        except (onnx.shape_inference.InferenceError, ValueError):
            pass  # what checks it says what is wrong
        else:
            if inferred != changed:
                changed = inferred
                notes.append("outputs have shapes")
    if not notes:
        return PassResult(model, False, "nodes are in order, and what shapes outputs have is said")
    return PassResult(changed, True, "; ".join(notes))
