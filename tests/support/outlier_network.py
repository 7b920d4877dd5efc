"""A network that int8 ruins in one place: beside what decides, its second layer reads a channel of huge values."""

from __future__ import annotations

import onnx
import onnx.parser

RUINED, HARMLESS = "decide", "spread"


def outlier_network() -> onnx.ModelProto:
    """(N, 3, H, W) in 0..1 -> logits (0, brightness - 0.5).

    `spread` makes the brightness and a thousand times the red; `decide` reads the first. One step of an int8 range over
    both is several times the largest brightness, so with `decide` in int8 no pixel is bright.
    """
    third = 1 / 3
    model = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        outlier (float[N, 3, H, W] image) => (float[N, 2, H, W] logits)
        <float[4, 3, 1, 1] w1 = {{{third}, {third}, {third}, 1000, 0, 0, {third}, {third}, {third}, 0, 0, 1}},
         float[2, 4, 1, 1] w2 = {{0, 0, 0, 0, 1, 0, 0, 0}}, float[2] b2 = {{0, -0.5}}>
        {{
            sums = Conv (image, w1)
            bends = Relu (sums)
            logits = Conv (bends, w2, b2)
        }}
        """
    )
    for node, name in zip(model.graph.node, (HARMLESS, "bend", RUINED), strict=True):
        node.name = name
    return model
