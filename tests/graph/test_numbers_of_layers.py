"""Multiplications of layers by their definition, and steps of 8 bits that cut nothing off."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from densecast.graph import _layers, _rounded, _typed


def graph(node: str, image: tuple[int, ...], weight: np.ndarray) -> onnx.ModelProto:
    sizes = ", ".join(map(str, image))
    rest = ", ".join("abcd"[: len(image)])
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float[{sizes}] x) => (float[{rest}] y) {{ y = {node} (x, w) }}'
    )
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.graph.initializer.append(numpy_helper.from_array(weight.astype(np.float32), "w"))
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize(
    ("node", "image", "weight", "macs"),
    [
        # Of 2 rows of 3 values, 5 sums each; weights as they are, or turned.
        ("Gemm", (2, 3), (3, 5), 2 * 3 * 5),
        ("Gemm <transB = 1>", (2, 3), (5, 3), 2 * 3 * 5),
        # Each of 4·5·6 values goes into 2 channels of 2 by 3 pixels.
        ("ConvTranspose <strides = [2, 2]>", (1, 4, 5, 6), (4, 2, 2, 3), 4 * 5 * 6 * 2 * 2 * 3),
        ("ConvTranspose <group = 2>", (1, 4, 5, 6), (4, 1, 2, 3), 4 * 5 * 6 * 1 * 2 * 3),
        # Each of 2·4·4 values is a sum over 4 channels of 2 by 3 pixels; of a half of them in two groups.
        ("Conv", (1, 4, 5, 6), (2, 4, 2, 3), 2 * 4 * 4 * 4 * 2 * 3),
        ("Conv <group = 2>", (1, 4, 5, 6), (2, 2, 2, 3), 2 * 4 * 4 * 2 * 2 * 3),
        ("MatMul", (2, 3), (3, 5), 2 * 3 * 5),
    ],
)
def test_a_layer_multiplies_as_often_as_its_definition_says(
    node: str, image: tuple[int, ...], weight: tuple[int, ...], macs: int
) -> None:
    (layer,) = _layers.layers_of(graph(node, image, np.ones(weight)))
    assert (layer.macs, layer.parameters) == (macs, np.prod(weight))


def test_a_step_of_16_bits_reaches_to_the_largest_value_and_is_the_least_that_does() -> None:
    for largest in (*np.random.default_rng(0).uniform(0, 300, 200).tolist(), 1.0, 127.0, 6.5e-6):
        step = _typed.scale_of(largest)
        assert float(step) * 127 >= largest > float(np.nextafter(step, np.float16(0))) * 127


@pytest.mark.parametrize("node", ["Conv", "ConvTranspose"])
def test_weights_that_are_whole_steps_of_their_channel_keep_their_values(node: str) -> None:
    # 255 whole numbers, and the same by 0.5 and 4: each channel has a step of its own.
    whole = np.arange(-127, 128).reshape(1, 1, 15, 17) * np.array([1, 0.5, 4]).reshape(3, 1, 1, 1)
    weight = whole if node == "Conv" else whole.swapaxes(0, 1)
    made = _rounded.int8(graph(node, (1, 1, 20, 20), weight))
    assert made is not None
    (kept,) = (numpy_helper.to_array(each) for each in made.graph.initializer if each.name == "w_of_8_bits")
    np.testing.assert_array_equal(kept, weight)
