"""Graphs of 24x40 pixels for the rewritings of convolutions, with whole numbers as weights.

On whole numbers, and quarters of them, float32 sums are exact in any order, so that equal means equal.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser


def dilated(channels: int = 3, dilation: int = 6) -> onnx.ModelProto:
    """One dilated 3x3 convolution with a bias."""
    return _parsed(
        f"y = Conv <pads = [{', '.join([str(dilation)] * 4)}], dilations = [{dilation}, {dilation}]> (image, w, b)",
        f"float[2, {channels}, 3, 3] w = {{{_whole(0, 18 * channels)}}}, float[2] b = {{5, -7}}",
        channels,
    )


def enlarged() -> onnx.ModelProto:
    """Twice the size bilinearly, then a 1x1 convolution."""
    return _parsed(
        """
        twice = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (image, , scales)
        y = Conv (twice, w, b)
        """,
        f"float[4] scales = {{1, 1, 2, 2}}, float[2, 3, 1, 1] w = {{{_whole(0, 6)}}}, float[2] b = {{5, -7}}",
        size_hw=(48, 80),
    )


def joined() -> onnx.ModelProto:
    """The image joined to the means of its squares, enlarged to its size, and a 1x1 convolution over both."""
    return _parsed(
        """
        means = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (image)
        twice = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (means, , scales)
        both = Concat <axis = 1> (twice, image)
        y = Conv (both, w, b)
        """,
        f"float[4] scales = {{1, 1, 2, 2}}, float[2, 6, 1, 1] w = {{{_whole(0, 12)}}}, float[2] b = {{5, -7}}",
    )


def strided() -> onnx.ModelProto:
    """The image eight times over, and a 4x8 convolution of stride 4x8 that reaches the last column."""
    return _parsed(
        """
        many = Concat <axis = 1> (image, image, image, image)
        more = Concat <axis = 1> (many, image, image, image, image)
        y = Conv <strides = [4, 8]> (more, w, b)
        """,
        f"float[2, 24, 4, 8] w = {{{_whole(0, 1536)}}}, float[2] b = {{5, -7}}",
        size_hw=(6, 5),
    )


def gated() -> onnx.ModelProto:
    """A convolution by MobileNetV3's activation, in its two parts; and by a gate that others read, too."""
    return _parsed(
        """
        x = Conv <pads = [1, 1, 1, 1]> (image, w, b)
        open = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x)
        bent = Mul (open, x)
        other = HardSigmoid <alpha = 0.16666667, beta = 0.5> (bent)
        product = Mul (bent, other)
        y = Add (product, other)
        """,
        f"float[2, 3, 3, 3] w = {{{_whole(0, 54)}}}, float[2] b = {{5, -7}}",
    )


def pooled() -> onnx.ModelProto:
    """The image joined to its largest values, repeated, and a 3x3 convolution over both."""
    return _parsed(
        """
        pixel = GlobalMaxPool (image)
        flat = Expand (pixel, hw)
        joined = Concat <axis = 1> (flat, image)
        y = Conv <pads = [1, 1, 1, 1]> (joined, w, b)
        """,
        f"int64[4] hw = {{1, 1, 24, 40}}, float[2, 6, 3, 3] w = {{{_whole(0, 108)}}}, float[2] b = {{5, -7}}",
    )


def padded() -> onnx.ModelProto:
    """The image joined to itself without its last column, which is padded again, and a 3x3 convolution over both."""
    return _parsed(
        """
        part = Slice (image, start, end, axis)
        whole = Pad (part, amounts)
        joined = Concat <axis = 1> (image, whole)
        y = Conv <pads = [1, 1, 1, 1]> (joined, w, b)
        """,
        f"""int64[1] start = {{0}}, int64[1] end = {{39}}, int64[1] axis = {{3}},
            int64[8] amounts = {{0, 0, 0, 0, 0, 0, 0, 1}},
            float[2, 6, 3, 3] w = {{{_whole(0, 108)}}}, float[2] b = {{5, -7}}""",
    )


def attending() -> onnx.ModelProto:
    """Each pixel's channels times how alike channels are over the map, and a 1x1 convolution."""
    return _parsed(
        """
        flat = Reshape (image, rows)
        turned = Transpose <perm = [0, 2, 1]> (flat)
        alike = MatMul (flat, turned)
        mixed = MatMul (alike, flat)
        map = Reshape (mixed, sizes)
        y = Conv (map, w)
        """,
        f"int64[3] rows = {{0, 3, -1}}, int64[4] sizes = {{0, 3, 24, 40}}, float[2, 3, 1, 1] w = {{{_whole(0, 6)}}}",
    )


def _parsed(nodes: str, weights: str, channels: int = 3, size_hw: tuple[int, int] = (24, 40)) -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        whole (float[N, {channels}, 24, 40] image) => (float[N, 2, {size_hw[0]}, {size_hw[1]}] y)
        <{weights}> {{ {nodes} }}
        """
    )


def _whole(seed: int, count: int) -> str:
    return ", ".join(str(value) for value in np.random.default_rng(seed).integers(-4, 5, count))
