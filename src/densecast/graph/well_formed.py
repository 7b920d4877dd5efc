"""Brings graphs into the form that ONNX asks for and engines do without: nodes in order, shapes of outputs."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from densecast.graph import _tensors


def well_formed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, sorted in place; another one where outputs had no shape, which are then inferred as far as they can.

    Converters to float16 append their Casts at the end, and tools that cut a graph leave its new outputs without shape.
    """
    for graph in _graphs(model.graph):
        _tensors.sort(graph)
    if all(value.type.tensor_type.HasField("shape") for value in model.graph.output):
        return model
    try:
        return onnx.shape_inference.infer_shapes(model)
    except (onnx.shape_inference.InferenceError, ValueError):
        return model  # what checks it says what is wrong


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The bodies of branches and loops, and then the graph itself: sorting copies nodes."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
    yield graph
