"""MobileNetV3's activation is one operator where OpenVINO runs it, though folding constants takes it apart."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from densecast.graph import fold_constants, join_hard_swish
from densecast.spec.options import BuildOptions
from densecast.spec.precision import Precision
from densecast.verbs.builder import graph_passes


def model_of(nodes: str, opset: int = 17) -> onnx.ModelProto:
    text = f"""<ir_version: 8, opset_import: ["": {opset}]>
        g (float[1, 3, 4, 5] x) => (float[1, 3, 4, 5] y) {{ {nodes} }}"""
    return onnx.parser.parse_model(text)


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


PARTS = "gate = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x) y = Mul ({})"


@pytest.mark.parametrize("order", ["gate, x", "x, gate"])
def test_the_parts_are_the_whole(order: str) -> None:
    result = join_hard_swish.apply(model_of(PARTS.format(order)))
    assert result.changed and kinds(result.model) == {"HardSwish": 1}
    onnx.checker.check_model(result.model, full_check=True)
    x = np.random.default_rng(0).uniform(-5, 5, (1, 3, 4, 5)).astype(np.float32)
    (found,) = ort.InferenceSession(result.model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(found, x * np.clip(x / 6 + 0.5, 0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "opset"),
    [
        (PARTS.format("gate, x"), 13),
        ("gate = HardSigmoid (x) y = Mul (gate, x)", 17),
        ("gate = HardSigmoid <alpha = 0.16666667, beta = 0.4> (x) y = Mul (gate, x)", 17),
        ("z = Relu (x) gate = HardSigmoid <alpha = 0.16666667, beta = 0.5> (z) y = Mul (gate, x)", 17),
        ("gate = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x) z = Mul (gate, x) y = Add (z, gate)", 17),
        ("gate = Sigmoid (x) y = Mul (gate, x)", 17),
    ],
)
def test_what_is_something_else_stays(nodes: str, opset: int) -> None:
    assert not join_hard_swish.apply(model_of(nodes, opset)).changed


@pytest.mark.parametrize("precision", ["force_float32", "force_float16", "qint8_mixed_float16"])
def test_a_build_for_openvino_has_the_whole_again(precision: Precision) -> None:
    sizes = "a = Shape (x) b = Cast <to = 6> (a) c = Cast <to = 7> (b) d = Identity (c) z = Reshape (x, d)"
    folded = fold_constants.apply(model_of(f"{sizes} y = HardSwish (z)")).model
    assert kinds(folded)["HardSigmoid"] == 1, "ONNX Runtime has taken it apart"
    model, notes = graph_passes.apply(folded, BuildOptions("openvino", precision))
    assert kinds(model)["HardSwish"] == 1 and kinds(model)["HardSigmoid"] == 0
    assert notes == ["1 hard sigmoids and products joined to HardSwish"]
