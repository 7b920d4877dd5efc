"""Networks small enough to read: ONNX as text, with seeded weights."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser

CLASSES = 2


def segmentation(
    height: int | str = "H", width: int | str = "W", *, batch: int | str = "N", seed: int = 0
) -> onnx.ModelProto:
    """(N, 3, H, W) float32 in 0..1 -> two logits a pixel; a 3x3 and a 1x1 convolution."""
    shape = f"{batch}, {{}}, {height}, {width}"
    model = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[{shape.format(3)}] image) => (float[{shape.format(CLASSES)}] logits)
        <float[8, 3, 3, 3] w1 = {{{_numbers(seed, 216)}}}, float[8] b1 = {{{_numbers(seed + 1, 8)}}},
         float[2, 8, 1, 1] w2 = {{{_numbers(seed + 2, 16)}}}>
        {{
            sums = Conv <pads = [1, 1, 1, 1]> (image, w1, b1)
            bends = Relu (sums)
            logits = Conv (bends, w2)
        }}
        """
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def pose(seed: int = 0) -> onnx.ModelProto:
    """(N, 3, H, W) float32 -> (N, 34, H / 4, W / 4): each map a mixture of the colours of 4 x 4 pixels."""
    model = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N, 3, H, W] image) => (float[N, 34, h, w] maps)
        <float[34, 3, 1, 1] w = {{{_numbers(seed, 102)}}}, float[34] b = {{{_numbers(seed + 1, 34)}}}>
        {{
            small = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (image)
            maps = Conv (small, w, b)
        }}
        """
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def brightness() -> onnx.ModelProto:
    """(N, 3, H, W) in 0..1 -> logits (0, brightness - 0.5): class 1 is where the mean of R, G and B is above 0.5."""
    third = 1 / 3
    return onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N, 3, H, W] image) => (float[N, 2, H, W] logits)
        <float[2, 3, 1, 1] w = {{0, 0, 0, {third}, {third}, {third}}}, float[2] b = {{0, -0.5}}>
        {{
            logits = Conv (image, w, b)
        }}
        """
    )


FROZEN_HW = (33, 33)
FROZEN_CLASSES = 3


def frozen(seed: int = 3) -> onnx.ModelProto:
    """(1, H, W, 3) bytes -> (1, H, W) labels, as TensorFlow's DeepLab graphs are: all of their own around a network.

    Padding right and below to 33x33 with grey, `x * 2 / 255 - 1`, a network with image-level pooling whose logits are
    9x9, a bilinear resize of aligned corners, the argmax, and the part that shows the picture.
    """
    model = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        frozen (uint8[1, H, W, 3] image) => (int32[1, H, W] labels)
        <float[8, 3, 3, 3] w1 = {{{_numbers(seed, 216)}}}, float[8] b1 = {{{_numbers(seed + 1, 8)}}},
         float[3, 16, 1, 1] w2 = {{{_numbers(seed + 2, 48)}}},
         float grey = {{127.5}}, float scale = {{0.007843137718737125}}, float one = {{1}},
         int64[1] first = {{1}}, int64[1] last = {{3}}, int64[2] side = {{33, 33}},
         int64[5] none_before = {{0, 0, 0, 0, 0}}, int64[1] none_after = {{0}},
         int64[4] map_size = {{1, 8, 9, 9}}, int64[4] full_size = {{1, 3, 33, 33}}, int64[2] corner = {{0, 0}},
         int64[2] rows_and_columns = {{1, 2}}>
        {{
            floats = Cast <to = 1> (image)
            centred = Sub (floats, grey)
            whole = Shape (image)
            hw = Slice (whole, first, last)
            missing = Sub (side, hw)
            pads = Concat <axis = 0> (none_before, missing, none_after)
            padded = Pad (centred, pads)
            grey_again = Add (padded, grey)
            scaled = Mul (grey_again, scale)
            normal = Sub (scaled, one)
            channels_first = Transpose <perm = [0, 3, 1, 2]> (normal)
            sums = Conv <strides = [4, 4], pads = [1, 1, 1, 1]> (channels_first, w1, b1)
            maps = Relu (sums)
            pooled = AveragePool <kernel_shape = [9, 9]> (maps)
            spread = Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> (pooled, , , map_size)
            both = Concat <axis = 1> (spread, maps)
            scores = Conv (both, w2)
            large = Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> (scores, , , full_size)
            classes = ArgMax <axis = 1, keepdims = 0> (large)
            shown = Slice (classes, corner, hw, rows_and_columns)
            labels = Cast <to = 6> (shown)
        }}
        """
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _numbers(seed: int, count: int) -> str:
    values = np.random.default_rng(seed).normal(size=count)
    return ", ".join(f"{value:.6f}" for value in values)


def upper_halves() -> onnx.ModelProto:
    """(N, 3, H, W) in 0..1 -> three logits: above 0 where red, green and blue are in the upper half."""
    return onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N, 3, H, W] image) => (float[N, 3, H, W] logits)
        <float[3, 3, 1, 1] w = {20, 0, 0, 0, 20, 0, 0, 0, 20}, float[3] b = {-10, -10, -10}>
        {
            logits = Conv (image, w, b)
        }
        """
    )


def brightness_as_depth(near_m: float, span_m: float, shape: str = "N, 1, H, W") -> onnx.ModelProto:
    """(N, 3, H, W) in 0..1 -> metres, (N, 1, H, W) or without the channel: the brighter, the farther."""
    third = span_m / 3
    last = "depth = Squeeze <axes = [1]> (metres)" if shape == "N, H, W" else "depth = Identity (metres)"
    opset = 11 if shape == "N, H, W" else 17
    return onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : {opset}]>
        tiny (float[N, 3, H, W] image) => (float[{shape}] depth)
        <float[1, 3, 1, 1] w = {{{third}, {third}, {third}}}, float[1] b = {{{near_m}}}>
        {{
            metres = Conv (image, w, b)
            {last}
        }}
        """
    )
