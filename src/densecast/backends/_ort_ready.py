"""Makes a graph ready for ONNX Runtime's quantiser: a name for every node, opset 13, float32, nothing quantised yet."""

from __future__ import annotations

from typing import Any

from densecast.errors import UsageError
from densecast.graph import as_float32
from densecast.graph._quantised import check_float
from densecast.runtime import engine_words

# The first in which QuantizeLinear and DequantizeLinear have one scale a channel.
_OPSET = 13


def named(model: Any) -> Any:
    """Give each node without a name, or with that of another, a name of its own, in place; returns the model."""
    taken = {node.name for node in model.graph.node}
    seen: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            base = f"{node.op_type}_{number}"
            name, copy = base, 1
            while name in taken:
                copy += 1
                name = f"{base}_{copy}"
            node.name = name
            taken.add(name)
        seen.add(node.name)
    return model


def ready(model: Any) -> Any:
    """The model with named nodes, of opset 13 or newer, in float32.

    Raises:
        UsageError: it is quantised already, or an operator has no form in opset 13.
    """
    import onnx
    from onnx import version_converter

    check_float(model)
    if opset(model) < _OPSET:
        try:
            model = version_converter.convert_version(model, _OPSET)
            onnx.checker.check_model(model)
        except Exception as error:  # the converter raises its own kinds
            raise UsageError(
                f"int8 needs opset {_OPSET}, and this graph of opset {opset(model)} cannot be raised to it "
                f"({engine_words.reason(error)}). Export it with a newer opset, or build with the weights' "
                "ranges per_tensor (--weights per_tensor).",
                field="precision",
            ) from None
    return named(as_float32.apply(model).model)


def opset(model: Any) -> int:
    """The version of ONNX's own operators."""
    return max((int(each.version) for each in model.opset_import if each.domain in ("", "ai.onnx")), default=_OPSET)
