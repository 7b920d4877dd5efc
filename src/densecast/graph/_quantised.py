"""Tells graphs that were quantised before they were exported, which can only be built as they are."""

from __future__ import annotations

from typing import Any

from densecast.errors import UsageError

_QUANTISED = {
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "ConvInteger",
    "MatMulInteger",
    "QGemm",
    "FakeQuantize",
    # ONNX Runtime's own
    "QAttention",
    "DynamicQuantizeMatMul",
    "DynamicQuantizeLSTM",
    "MatMulIntegerToFloat",
    "MatMulNBits",
}
NOTE = "already quantised: build -p fp32 runs it as it is; fp16 and int8 builds of it are refused"
"""What an export says of such a graph."""


def is_quantised(model: Any) -> bool:
    """Whether the graph, a branch or loop in it, or a function has integer arithmetic or quantisers already."""
    return any(_has_quantised(nodes) for nodes in (model.graph.node, *(each.node for each in model.functions)))


def _has_quantised(nodes: Any) -> bool:
    for node in nodes:
        if node.op_type in _QUANTISED or node.op_type.startswith("QLinear"):
            return True
        for attribute in node.attribute:
            graphs = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
            if any(_has_quantised(graph.node) for graph in graphs):
                return True
    return False


def check_float(model: Any) -> None:
    """Check that a graph can be built in another precision than its own.

    Raises:
        UsageError: it is quantised already.
    """
    if is_quantised(model):
        raise UsageError(
            "this graph is quantised already: it runs as it is with the precision fp32. For fp16 or int8 export the "
            "network before it was quantised.",
            field="precision",
        )
