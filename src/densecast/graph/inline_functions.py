"""Puts the bodies of a model's own functions where they are called: OpenVINO and the passes here know no functions."""

from __future__ import annotations

import onnx
import onnx.inliner

from densecast.graph._base import PassResult
from densecast.runtime import engine_words


def apply(model: onnx.ModelProto) -> PassResult:
    """Inline all functions; bodies of an older opset than the graph's are converted to it."""
    if not model.functions:
        return PassResult(model, False, "the model has no functions of its own")
    try:
        changed = onnx.inliner.inline_local_functions(model, convert_version=True)
    except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as error:
        return PassResult(model, False, f"its functions cannot be inlined ({engine_words.reason(error)})")
    if changed.functions:
        return PassResult(model, False, f"{changed.functions[0].name!r} cannot be inlined")
    used = {node.domain for node in changed.graph.node}
    versions = [each for each in changed.opset_import if each.domain in ("", "ai.onnx") or each.domain in used]
    del changed.opset_import[:]
    changed.opset_import.extend(versions)
    return PassResult(changed, True, f"{len(model.functions)} functions of the model are where they were called")
