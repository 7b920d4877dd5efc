"""Weights of matrix products are rounded and listed like those of convolutions; vectors beside them are not."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from densecast.backends._inspection import WeightType
from densecast.backends._onnx_inspector import OnnxInspector

FEED = np.random.default_rng(0).random((1, 3, 4, 4), np.float32)
MATRIX = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
VECTOR = np.random.default_rng(2).normal(size=5).astype(np.float32)


def inspector(weights: str) -> OnnxInspector:
    text = f"g (float[1, 3, 4, 4] image) => (float[1, 3, 4, 5] y) {{ {weights} }}"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    for name, array in (("w", MATRIX), ("b", VECTOR)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return OnnxInspector(model, FEED.shape, 1)


@pytest.mark.parametrize(("kind", "least", "most"), [("bfloat16", 1e-4, 1e-2), ("float16", 1e-5, 1e-3)])
def test_a_product_is_as_far_off_as_its_rounded_matrix(kind: WeightType, least: float, most: float) -> None:
    found = inspector("a = MatMul (image, w) y = Add (a, b)")
    right = found.run(FEED, ["y"])["y"]
    np.testing.assert_allclose(right, FEED @ MATRIX + VECTOR, rtol=1e-5, atol=1e-5)
    moved = found.rounded(kind).run(FEED, ["y"])["y"]
    assert least < np.linalg.norm(moved - right) / np.linalg.norm(right - VECTOR) < most
    assert [array.shape for array in found.weights().values()] == [(5, 4)]
