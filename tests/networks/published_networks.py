"""The eight published OpenMMLab networks: what builds each in densecast, and in the original packages."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


@dataclass(frozen=True, slots=True)
class Published:
    network: str
    config: str  # inside the original package's wheel, below <package>/.mim/configs/
    options: Mapping[str, Any] = field(default_factory=dict)
    sizes_hw: tuple[tuple[int, int], ...] = ((64, 96), (97, 131))

    @property
    def package(self) -> str:
        return "mmpose" if self.network.startswith("pose_") else "mmseg"

    def module(self) -> ModuleType:
        return importlib.import_module(f"densecast.networks.{self.network}")

    def build(self) -> Any:
        module = self.module()
        return module.build(module.Options(**self.options))


_POSE = "body/2d_kpt_sview_rgb_img/associative_embedding/coco"
_POSE_SIZES = ((64, 128), (128, 192))

PUBLISHED = {
    "ocrnet_hr18": Published("ocrnet", "ocrnet/ocrnet_hr18_512x1024_160k_cityscapes.py"),
    "ocrnet_hr18s": Published(
        "ocrnet",
        "ocrnet/ocrnet_hr18s_512x1024_80k_cityscapes.py",
        {"stem_blocks": 2, "modules": (1, 3, 2), "blocks": 2},
    ),
    "deeplabv3_r101_d16_mg124": Published("deeplabv3", "deeplabv3/deeplabv3_r101-d16-mg124_512x1024_80k_cityscapes.py"),
    "unet_s5_d16": Published(
        "unet_s5",
        "unet/fcn_unet_s5-d16_4x4_512x1024_160k_cityscapes.py",
        sizes_hw=((64, 96), (96, 144)),
    ),
    "fcn_r50_d8_voc": Published("fcn", "fcn/fcn_r50-d8_512x512_20k_voc12aug.py"),
    "hrnet_w32_ae": Published("pose_hrnet", f"{_POSE}/hrnet_w32_coco_512x512.py", sizes_hw=_POSE_SIZES),
    "res50_ae": Published("pose_resnet", f"{_POSE}/res50_coco_512x512.py", sizes_hw=_POSE_SIZES),
    "mobilenetv2_ae": Published("pose_mobilenetv2", f"{_POSE}/mobilenetv2_coco_512x512.py", sizes_hw=_POSE_SIZES),
}
