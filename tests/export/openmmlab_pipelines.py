"""Test pipelines as configurations write them, for MMSegmentation 0.30 and densecast alike."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True}
HALF = {"mean": [127.5, 127.5, 127.5], "std": [127.5, 127.5, 127.5], "to_rgb": True}
BGR = {"mean": [72.3, 82.1, 71.2], "std": [3.7, 12.9, 61.3], "to_rgb": False}


def _views(*transforms: dict[str, Any], **keys: Any) -> list[dict[str, Any]]:
    inner = [*transforms, {"type": "ImageToTensor", "keys": ["img"]}, {"type": "Collect", "keys": ["img"]}]
    return [{"type": "LoadImageFromFile"}, {"type": "MultiScaleFlipAug", "flip": False, "transforms": inner, **keys}]


_KEEP = {"type": "Resize", "keep_ratio": True}
_FLIP = {"type": "RandomFlip"}


def _normalise(table: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Normalize", **table}


PIPELINES: dict[str, list[dict[str, Any]]] = {
    "cityscapes": _views(_KEEP, _FLIP, _normalise(IMAGENET), img_scale=(204, 102)),
    "portrait_scale": _views(_KEEP, _FLIP, _normalise(IMAGENET), img_scale=(64, 256)),
    "least": _views({**_KEEP, "min_size": 80}, _FLIP, _normalise(IMAGENET), img_scale=(2048, 64)),
    "stretched": _views({"type": "Resize", "keep_ratio": False}, _FLIP, _normalise(HALF), img_scale=(150, 90)),
    "blue_first": _views(_KEEP, _FLIP, _normalise(BGR), img_scale=(204, 102)),
    "padded_after": _views(
        _KEEP, _FLIP, _normalise(IMAGENET), {"type": "Pad", "size_divisor": 32}, img_scale=(204, 102)
    ),
    "padded_before": _views(
        _KEEP, _FLIP, {"type": "Pad", "size_divisor": 16, "pad_val": 7}, _normalise(BGR), img_scale=(204, 102)
    ),
    "padded_square": _views(
        _KEEP, _FLIP, _normalise(IMAGENET), {"type": "Pad", "size": (128, 128)}, img_scale=(128, 128)
    ),
    "to_multiple": _views(
        _KEEP, {"type": "ResizeToMultiple", "size_divisor": 32}, _FLIP, _normalise(IMAGENET), img_scale=(204, 102)
    ),
    "to_multiple_alone": _views({"type": "ResizeToMultiple", "size_divisor": 20}, _normalise(BGR), img_scale=(1, 1)),
    "to_multiple_ratios": _views(
        _KEEP,
        {"type": "ResizeToMultiple", "interpolation": "bilinear"},
        _normalise(HALF),
        img_scale=(150, 90),
        img_ratios=[0.5, 1.75],
    ),
    "as_it_is": _views(_normalise(IMAGENET), img_scale=(204, 102)),
    "ratios": _views(_KEEP, _FLIP, _normalise(IMAGENET), img_scale=(204, 102), img_ratios=[0.5, 1.0, 1.75], flip=True),
}
SIZES_HW = ((97, 131), (131, 97), (480, 640))


def image(size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: blocks and noise, the same everywhere."""
    count = size_hw[0] * size_hw[1] * 3
    raw = np.random.PCG64(zlib.crc32(repr(size_hw).encode())).random_raw((count + 7) // 8)
    noise = raw.astype("<u8").view("<u1")[:count].reshape(*size_hw, 3)
    rows, columns = np.indices(size_hw)
    blocks = ((rows // 16 * 37 + columns // 16 * 91) % 200).astype(np.uint8)
    return (blocks[..., None] + noise // 5).astype(np.uint8)
