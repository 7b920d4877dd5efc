"""Join a hard sigmoid and the product with its own input to one operator (MobileNetV3's activation).

    x * HardSigmoid(x), alpha 1/6, beta 1/2    becomes    HardSwish(x)

Why: folding constants with ONNX Runtime takes HardSwish apart, for which it has no kernel of its own. OpenVINO has one,
which it joins to the convolution before; of the parts it makes operators of their own in float32, with reordered copies
between. Since opset 14; any size.
"""

from __future__ import annotations

import onnx

from densecast.graph import _edit, _tensors
from densecast.graph._base import PassResult
from densecast.graph._edit import Edit

_SINCE = 14
_ALPHA, _BETA, _APART = 1 / 6, 0.5, 1e-6


def apply(model: onnx.ModelProto) -> PassResult:
    """Join every pair of them."""
    if _edit.opset(model) < _SINCE:
        return PassResult(model, False, f"opset {_SINCE} is needed, which first has HardSwish")
    producers, readers = _tensors.producers(model.graph), _tensors.reader_counts(model.graph)
    edit, joined = Edit(model), 0
    for node in model.graph.node:
        if node.op_type != "Mul":
            continue
        for gate, source in (node.input, reversed(node.input)):
            maker = producers.get(gate)
            if maker is not None and _is_gate(maker) and maker.input[0] == source and readers[gate] == 1:
                edit.replace(node, [edit.node("HardSwish", [source], node.output[0], name=node.name)])
                joined += 1
                break
    if not joined:
        return PassResult(model, False, "no hard sigmoid is multiplied with its own input")
    return PassResult(edit.done(), True, f"{joined} hard sigmoids and products joined to HardSwish")


def _is_gate(node: onnx.NodeProto) -> bool:
    if node.op_type != "HardSigmoid":
        return False
    alpha, beta = _tensors.attribute(node, "alpha", 0.2), _tensors.attribute(node, "beta", 0.5)
    return bool(abs(alpha - _ALPHA) < _APART and abs(beta - _BETA) < _APART)
