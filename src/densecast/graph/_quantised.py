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
}


def is_quantised(model: Any) -> bool:
    """Whether the graph has integer arithmetic or quantisers already."""
    return any(node.op_type in _QUANTISED or node.op_type.startswith("QLinear") for node in model.graph.node)


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
