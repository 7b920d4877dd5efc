"""Multiplications and weights of every kind of layer of a built OpenVINO model, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from densecast.backends import _openvino_listed
from densecast.spec.tensor import Dim, TensorSpec


def test_every_kind_of_layer_is_counted(tmp_path: Path) -> None:
    ov = pytest.importorskip("openvino")
    ops = ov.opset13

    def weights(*shape: int):
        return ops.constant(np.ones(shape, np.float32))

    image = ops.parameter([1, 6, 8, 10], np.float32, name="image")
    image.output(0).set_names({"image"})
    same = ([1, 1], [1, 1], [1, 1], [1, 1])
    doubled = ([2, 2], [0, 0], [0, 0], [1, 1])
    plain = ops.convolution(image, weights(12, 6, 3, 3), *same)
    grouped = ops.group_convolution(plain, weights(3, 5, 4, 3, 3), *same)  # 12 channels to 15, in 3 groups
    larger = ops.convolution_backprop_data(grouped, weights(15, 4, 2, 2), [2, 2], pads_begin=[0, 0], pads_end=[0, 0])
    by_group = ops.group_convolution_backprop_data(larger, weights(2, 2, 3, 2, 2), *doubled[:1])
    flat = ops.reshape(by_group, ops.constant(np.array([1, 6, -1], np.int64)), False)
    last = ops.matmul(flat, weights(32 * 40, 7), False, False)
    ov.save_model(ov.Model([last], [image], "small"), tmp_path / "model.xml", compress_to_fp16=False)
    spec = TensorSpec("image", "float32", (1, 6, 8, 10))
    found = _openvino_listed.layers(tmp_path / "model.xml", (spec,), (1, 6, 8, 10), {}, {})
    assert [(layer.operator, layer.parameters, layer.macs) for layer in found] == [
        ("Convolution", 12 * 6 * 9, 8 * 10 * 12 * 6 * 9),
        ("GroupConvolution", 15 * 4 * 9, 8 * 10 * 15 * 4 * 9),
        (
            "ConvolutionBackpropData",
            15 * 4 * 4,
            8 * 10 * 15 * 4 * 4,
        ),  # by input values
        ("GroupConvolutionBackpropData", 2 * 2 * 3 * 4, 16 * 20 * 4 * 3 * 4),
        ("MatMul", 32 * 40 * 7, 6 * 32 * 40 * 7),
    ]


def test_further_inputs_of_open_sizes_are_counted_at_the_images_side(tmp_path: Path) -> None:
    ov = pytest.importorskip("openvino")
    ops = ov.opset13
    inputs, layers = [], []
    for name, channels in (("image", 3), ("depth", 1), ("mask", 2)):
        inputs.append(ops.parameter([-1, channels, -1, -1], np.float32, name=name))
        inputs[-1].output(0).set_names({name})
        kernel = ops.constant(np.ones((4, channels, 1, 1), np.float32))
        layers.append(ops.convolution(inputs[-1], kernel, [1, 1], [0, 0], [0, 0], [1, 1]))
    ov.save_model(ov.Model(layers, inputs, "three"), tmp_path / "model.xml", compress_to_fp16=False)
    sides = (Dim("H", 8, 64), Dim("W", 8, 64))
    specs = tuple(
        TensorSpec(name, "float32", (Dim("N", 1, 4), channels, *sides))
        for name, channels in (("image", 3), ("depth", 1), ("mask", 2))
    )
    found = _openvino_listed.layers(tmp_path / "model.xml", specs, (2, 3, 16, 16), {}, {})
    assert sorted(layer.macs for layer in found) == [2 * 16 * 16 * 4 * channels for channels in (1, 2, 3)]
