"""Backbones by the type that a configuration names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from densecast.networks.openmmlab import (
    convnext,
    convolutional,
    dual_resolution,
    erfnet,
    fast,
    guided,
    mix_transformer,
    mobile_v3,
    pool_former,
    relative_transformer,
    resnest,
    stdc,
    swin_transformer,
    twins,
    two_path,
    vision_transformer,
)
from densecast.networks.openmmlab.keys import Keys

BACKBONES: dict[str, Callable[[Keys], Any]] = {
    "ResNet": convolutional.resnet,
    "ResNetV1c": partial(convolutional.resnet, deep_stem=True, pool_first=False),
    "ResNetV1d": partial(convolutional.resnet, deep_stem=True, pool_first=True),
    "ResNeXt": partial(convolutional.resnet, grouped=True),
    "HRNet": convolutional.hrnet,
    "UNet": convolutional.unet,
    "MobileNetV2": convolutional.mobilenet_v2,
    "MixVisionTransformer": mix_transformer.mix_vision_transformer,
    "SwinTransformer": swin_transformer.swin_transformer,
    "BiSeNetV1": lambda keys: two_path.bisenet_v1(keys, backbone),
    "BiSeNetV2": guided.bisenet_v2,
    "STDCNet": stdc.stdc,
    "STDCContextPathNet": lambda keys: stdc.stdc_context_path(keys, backbone),
    "ICNet": lambda keys: two_path.icnet(keys, backbone),
    "FastSCNN": fast.fast_scnn,
    "CGNet": guided.cgnet,
    "MobileNetV3": mobile_v3.mobilenet_v3,
    "ResNeSt": resnest.resnest,
    "VisionTransformer": vision_transformer.vision_transformer,
    "BEiT": relative_transformer.relative_transformer,
    "MAE": partial(relative_transformer.relative_transformer, is_mae=True),
    "ERFNet": erfnet.erfnet,
    "DDRNet": dual_resolution.ddrnet,
    "PIDNet": dual_resolution.pidnet,
    "PCPVT": partial(twins.twins, windows=False),
    "SVT": partial(twins.twins, windows=True),
    # Its first package has the default of torch between stages, whatever its configuration says of the rest.
    "mmcls.ConvNeXt": partial(convnext.convnext, step_eps=1e-5),
    "mmpretrain.ConvNeXt": convnext.convnext,
    "mmcls.PoolFormer": pool_former.pool_former,
    "mmpretrain.PoolFormer": pool_former.pool_former,
}


def backbone(keys: Keys) -> Any:
    """The backbone of a `backbone` table: (N, C, H, W) -> a list of maps.

    Raises:
        BadConfigError: of a kind or with a key that densecast does not know.
    """
    kind = keys.word("type")
    kind = kind.removeprefix("mmseg.").removeprefix("mmpose.")
    if kind not in BACKBONES:
        raise keys.unknown("type", kind, BACKBONES)
    return BACKBONES[kind](keys)
