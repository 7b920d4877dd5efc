"""Narrow networks that only MMSegmentation 1.x has, as configurations that it and densecast both build."""

from __future__ import annotations

from typing import Any

BN = {"type": "BN"}


def _network(backbone: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
    plain = {"num_classes": 5, "norm_cfg": BN, "act_cfg": {"type": "ReLU"}}
    return {"type": "EncoderDecoder", "backbone": backbone, "decode_head": plain | head}


FAMILIES: dict[str, dict[str, Any]] = {
    "pidnet_small": _network(
        {"type": "PIDNet", "channels": 4, "ppm_channels": 6, "num_stem_blocks": 2, "num_branch_blocks": 3},
        {"type": "PIDHead", "in_channels": 16, "channels": 8},
    ),
    "pidnet_large": _network(
        {"type": "PIDNet", "channels": 4, "ppm_channels": 6, "num_stem_blocks": 3, "num_branch_blocks": 2},
        {"type": "PIDHead", "in_channels": 16, "channels": 8, "align_corners": True},
    ),
    "ddrnet": _network(
        {"type": "DDRNet", "channels": 4, "ppm_channels": 8, "align_corners": True},
        {"type": "DDRHead", "in_channels": 16, "channels": 8},
    ),
}
SIZES_HW = ((64, 96), (128, 64))
