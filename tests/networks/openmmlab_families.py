"""Narrow networks of each family, as configurations that MMSegmentation 0.30 and densecast both build."""

from __future__ import annotations

from typing import Any

BN = {"type": "BN"}
_RESNET: dict[str, Any] = {
    "type": "ResNetV1c",
    "depth": 18,
    "base_channels": 8,
    "stem_channels": 8,
    "strides": (1, 2, 1, 1),
    "dilations": (1, 1, 2, 4),
    "contract_dilation": True,
    "norm_cfg": BN,
}
_DOWN = _RESNET | {"strides": (1, 2, 2, 2), "dilations": (1, 1, 1, 1)}


def _head(kind: str, width: Any, channels: int = 8, **others: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "in_channels": width,
        "channels": channels,
        "num_classes": 5,
        "norm_cfg": BN,
        "dropout_ratio": 0.1,
        **others,
    }


_VIT: dict[str, Any] = {
    "type": "VisionTransformer",
    "img_size": (32, 48),
    "patch_size": 8,
    "embed_dims": 16,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_ratio": 2,
    "norm_cfg": {"type": "LN", "eps": 1e-6},
}


_RELATIVE = {key: value for key, value in _VIT.items() if key != "img_size"} | {
    "img_size": (64, 96),
    "num_layers": 4,
    "out_indices": (0, 1, 2, 3),
    "init_values": 0.1,
}


def _network(backbone: dict[str, Any], head: Any, **others: Any) -> dict[str, Any]:
    kind = "CascadeEncoderDecoder" if isinstance(head, list) else "EncoderDecoder"
    return {"type": kind, "backbone": backbone, "decode_head": head, **others}


def _several(*index: int) -> dict[str, Any]:
    return {"in_index": index}


_HRNET = {
    "type": "HRNet",
    "norm_cfg": BN,
    "extra": {
        "stage1": {
            "num_modules": 1,
            "num_branches": 1,
            "block": "BOTTLENECK",
            "num_blocks": (1,),
            "num_channels": (8,),
        },
        "stage2": {"num_modules": 1, "num_branches": 2, "block": "BASIC", "num_blocks": (1, 2), "num_channels": (4, 6)},
        "stage3": {
            "num_modules": 2,
            "num_branches": 3,
            "block": "BASIC",
            "num_blocks": (1, 1, 1),
            "num_channels": (4, 6, 8),
        },
        "stage4": {
            "num_modules": 1,
            "num_branches": 4,
            "block": "BASIC",
            "num_blocks": (1, 1, 1, 1),
            "num_channels": (4, 6, 8, 10),
        },
    },
}
_JOINED = {"in_index": (0, 1, 2, 3), "input_transform": "resize_concat"}


def _dense(**others: Any) -> dict[str, Any]:
    return {
        "type": "DPTHead",
        "in_channels": (16,) * 4,
        "channels": 8,
        "num_classes": 5,
        "embed_dims": 16,
        "post_process_channels": [4, 6, 8, 12],
        "input_transform": "multiple_select",
        **_several(0, 1, 2, 3),
        **others,
    }


def _kernels(generating: dict[str, Any], updator: dict[str, Any], **others: Any) -> dict[str, Any]:
    width = updator.pop("channels")
    shared = {"type": "KernelUpdator", "in_channels": width, "feat_channels": width, "out_channels": width}
    each = {
        "type": "KernelUpdateHead",
        "num_classes": 5,
        "num_heads": 2,
        "num_mask_fcs": 1,
        "feedforward_channels": 24,
        "in_channels": generating["channels"],
        "out_channels": generating["channels"],
        "feat_transform_cfg": {"conv_cfg": {"type": "Conv2d"}, "act_cfg": None},
        "kernel_updator_cfg": shared | updator,
        **others,
    }
    return {
        "type": "IterativeDecodeHead",
        "num_stages": 2,
        "kernel_update_head": [each, each],
        "kernel_generate_head": generating,
    }


FAMILIES: dict[str, dict[str, Any]] = {
    "psp": _network(_RESNET, _head("PSPHead", 64, align_corners=True)),
    "caffe_groups_deeplab_plus": _network(
        {
            "type": "ResNeXt",
            "depth": 50,
            "groups": 2,
            "base_width": 4,
            "base_channels": 8,
            "stem_channels": 8,
            "style": "caffe",
            "avg_down": True,
            "norm_cfg": {"type": "BN", "eps": 1e-3},
            "strides": (1, 2, 2, 1),
            "dilations": (1, 1, 1, 2),
            "multi_grid": (1, 2, 4),
        },
        _head(
            "DepthwiseSeparableASPPHead",
            256,
            dilations=(1, 2, 3),
            c1_in_channels=32,
            c1_channels=4,
            act_cfg={"type": "LeakyReLU"},
        ),
    ),
    "hrnet_ocr": _network(
        _HRNET,
        [
            _head("FCNHead", (4, 6, 8, 10), 28, num_convs=1, kernel_size=1, concat_input=False, **_JOINED),
            _head("OCRHead", (4, 6, 8, 10), 8, ocr_channels=4, **_JOINED),
        ],
        num_stages=2,
    ),
    "unet": _network(
        {
            "type": "UNet",
            "base_channels": 4,
            "num_stages": 3,
            "strides": (1, 1, 2),
            "enc_num_convs": (1, 2, 2),
            "dec_num_convs": (2, 1),
            "downsamples": (True, False),
            "enc_dilations": (1, 1, 2),
            "dec_dilations": (1, 2),
            "upsample_cfg": {"type": "DeconvModule"},
            "norm_cfg": BN,
        },
        _head("ASPPHead", 4, dilations=(1, 2), in_index=2),
    ),
    "mobilenet_v2_sem_fpn": _network(
        {
            "type": "MobileNetV2",
            "widen_factor": 0.25,
            "strides": (1, 2, 2, 1, 1, 1, 1),
            "dilations": (1, 1, 1, 2, 2, 4, 4),
        },
        _head("FPNHead", (8, 8, 8, 8), feature_strides=(4, 8, 16, 32), **_several(0, 1, 2, 3)),
        neck={"type": "FPN", "in_channels": [8, 8, 24, 80], "out_channels": 8, "num_outs": 4},
    ),
    "joint_upsampling": _network(
        _DOWN | {"out_indices": (1, 2, 3)},
        _head("EncHead", (16, 32, 32), num_codes=4, add_lateral=True, loss_se_decode={}, **_several(0, 1, 2)),
        neck={"type": "JPU", "in_channels": (16, 32, 64), "mid_channels": 8, "dilations": (1, 2, 4, 8), "norm_cfg": BN},
    ),
    "upernet": _network(_DOWN, _head("UPerHead", (8, 16, 32, 64), pool_scales=(1, 2, 3), **_several(0, 1, 2, 3))),
    "segformer": _network(
        {
            "type": "MixVisionTransformer",
            "embed_dims": 8,
            "num_layers": (1, 1, 2, 1),
            "num_heads": (1, 2, 2, 4),
            "sr_ratios": (8, 4, 2, 1),
        },
        _head("SegformerHead", (8, 16, 16, 32), **_several(0, 1, 2, 3)),
    ),
    "swin": _network(
        {
            "type": "SwinTransformer",
            "embed_dims": 8,
            "depths": (2, 2, 2),
            "num_heads": (1, 2, 4),
            "window_size": 4,
            "strides": (4, 2, 2),
            "out_indices": (0, 1, 2),
        },
        _head("UPerHead", (8, 16, 32), **_several(0, 1, 2)),
    ),
    "bisenet_v1": _network(
        {
            "type": "BiSeNetV1",
            "context_channels": (16, 32, 64),
            "spatial_channels": (8, 8, 8, 16),
            "out_channels": 16,
            "norm_cfg": {"type": "BN", "eps": 1e-2},
            "backbone_cfg": {
                "type": "ResNet",
                "depth": 18,
                "base_channels": 8,
                "stem_channels": 8,
                "out_indices": (0, 1, 2, 3),
                "norm_cfg": BN,
            },
        },
        _head("FCNHead", 16, num_convs=1, concat_input=False, in_index=0),
    ),
    "bisenet_v2": _network(
        {"type": "BiSeNetV2", "detail_channels": (8, 8, 16), "semantic_channels": (8, 8, 8, 16), "bga_channels": 16},
        _head("FCNHead", 16, num_convs=1, concat_input=False, in_index=0),
    ),
    "stdc": _network(
        {
            "type": "STDCContextPathNet",
            "backbone_cfg": {
                "type": "STDCNet",
                "stdc_type": "STDCNet1",
                "in_channels": 3,
                "channels": (8, 8, 16, 32, 64),
                "bottleneck_type": "cat",
                "norm_cfg": BN,
                "act_cfg": {"type": "ReLU"},
            },
            "last_in_channels": (64, 32),
            "out_channels": 16,
            "ffm_cfg": {"in_channels": 32, "out_channels": 16, "scale_factor": 4},
        },
        _head("FCNHead", 16, num_convs=1, concat_input=False, in_index=3, align_corners=True),
    ),
    "icnet": _network(
        {
            "type": "ICNet",
            "backbone_cfg": _RESNET,
            "layer_channels": (16, 64),
            "light_branch_middle_channels": 4,
            "psp_out_channels": 8,
            "out_channels": (4, 8, 8),
            "norm_cfg": BN,
        },
        _head("FCNHead", 8, num_convs=1, concat_input=False, in_index=2),
        neck={"type": "ICNeck", "in_channels": (4, 8, 8), "out_channels": 8, "norm_cfg": BN},
    ),
    "fast_scnn": _network(
        {
            "type": "FastSCNN",
            "downsample_dw_channels": (4, 8),
            "global_in_channels": 8,
            "global_block_channels": (8, 12, 16),
            "global_out_channels": 16,
            "higher_in_channels": 8,
            "lower_in_channels": 16,
            "fusion_out_channels": 16,
            "norm_cfg": BN,
        },
        _head("DepthwiseSeparableFCNHead", 16, in_index=-1, concat_input=False),
    ),
    "cgnet": _network(
        {"type": "CGNet", "num_channels": (8, 16, 32), "num_blocks": (2, 3), "norm_cfg": {"type": "BN", "eps": 1e-3}},
        _head("FCNHead", 64, 64, num_convs=0, concat_input=False, in_index=2),
    ),
    "non_local": _network(_RESNET, _head("NLHead", 64, reduction=2, use_scale=True)),
    "disentangled": _network(_RESNET, _head("DNLHead", 64, temperature=0.5)),
    "global_context": _network(_RESNET, _head("GCHead", 64, ratio=0.25)),
    "dual": _network(_RESNET, _head("DAHead", 64, pam_channels=4)),
    "interlaced": _network(_RESNET, _head("ISAHead", 64, isa_channels=4, down_factor=(4, 8))),
    "asymmetric": _network(
        _RESNET, _head("ANNHead", (32, 64), project_channels=4, key_pool_scales=(1, 3), **_several(2, 3))
    ),
    "adaptive_pyramid": _network(_RESNET, _head("APCHead", 64, pool_scales=(1, 3))),
    "split_attention": _network(
        {
            "type": "ResNeSt",
            "depth": 50,
            "num_stages": 2,
            "out_indices": (0, 1),
            "strides": (1, 2),
            "dilations": (1, 1),
            "base_channels": 8,
            "stem_channels": 16,
            "radix": 2,
            "groups": 2,
            "base_width": 8,
            "reduction_factor": 4,
            "avg_down_stride": True,
            "norm_cfg": BN,
        },
        _head("FCNHead", 64, num_convs=1, concat_input=False, in_index=1),
    ),
    "mobilenet_v3": _network(
        {"type": "MobileNetV3", "arch": "small", "reduction_factor": 2, "out_indices": (0, 3, 12)},
        _head("FCNHead", 576, 576, num_convs=0, concat_input=False, in_index=2),
    ),
    "vision_transformer": _network(
        _VIT | {"out_indices": (0, 1)},
        _head("UPerHead", (8, 8), pool_scales=(1, 2), **_several(0, 1)),
        neck={"type": "MultiLevelNeck", "in_channels": [16, 16], "out_channels": 8, "scales": [2, 1]},
    ),
    "transformer_up": _network(
        _VIT | {"with_cls_token": False, "interpolate_mode": "bilinear", "patch_norm": True},
        _head("SETRUPHead", 16, num_convs=2, up_scale=2, in_index=0),
    ),
    "transformer_levels": _network(
        _VIT | {"out_indices": (0, 1)},
        _head("SETRMLAHead", (8, 8), mla_channels=4, **_several(0, 1)),
        neck={
            "type": "MLANeck",
            "in_channels": [16, 16],
            "out_channels": 8,
            "norm_cfg": BN,
            "act_cfg": {"type": "ReLU"},
        },
    ),
    "segmenter": _network(
        _VIT | {"final_norm": True},
        {
            "type": "SegmenterMaskTransformerHead",
            "in_channels": 16,
            "channels": 16,
            "num_classes": 5,
            "num_layers": 1,
            "num_heads": 2,
            "embed_dims": 16,
            "in_index": -1,
        },
    ),
    "twins_windows": _network(
        {
            "type": "SVT",
            "embed_dims": [8, 16],
            "patch_sizes": [4, 2],
            "strides": [4, 2],
            "num_heads": [1, 2],
            "mlp_ratios": [2, 2],
            "depths": [2, 2],
            "sr_ratios": [2, 1],
            "windiow_sizes": [3, 4],
            "out_indices": (0, 1),
            "qkv_bias": True,
        },
        _head("UPerHead", (8, 16), pool_scales=(1, 2), **_several(0, 1)),
    ),
    "twins_reduced": _network(
        {
            "type": "PCPVT",
            "embed_dims": [8, 16],
            "patch_sizes": [4, 2],
            "strides": [4, 2],
            "num_heads": [1, 2],
            "mlp_ratios": [2, 2],
            "depths": [1, 2],
            "sr_ratios": [4, 1],
            "out_indices": (0, 1),
        },
        _head("UPerHead", (8, 16), pool_scales=(1, 2), **_several(0, 1)),
    ),
    "convnext": _network(
        {
            "type": "mmcls.ConvNeXt",
            "arch": {"depths": [1, 2], "channels": [8, 16]},
            "out_indices": [0, 1],
            "layer_scale_init_value": 1.0,
            "gap_before_final_norm": False,
        },
        _head("UPerHead", (8, 16), pool_scales=(1, 2), **_several(0, 1)),
    ),
    "criss_cross": _network(_RESNET, _head("CCHead", 64, 16, recurrence=2)),
    "pointwise": _network(_RESNET, _head("PSAHead", 64, mask_size=(13, 9), normalization_factor=0.5)),
    "pointwise_far": _network(
        _DOWN, _head("PSAHead", 64, mask_size=(9, 9), psa_type="distribute", shrink_factor=1, psa_softmax=False)
    ),
    "generated_filters": _network(_RESNET, _head("DMHead", 64, filter_sizes=(1, 2, 5), fusion=True)),
    "relative_transformer": _network(
        _RELATIVE | {"type": "BEiT"},
        _head("UPerHead", (16,) * 4, pool_scales=(1, 2), **_several(0, 1, 2, 3)),
        neck={"type": "Feature2Pyramid", "embed_dim": 16, "rescales": [4, 2, 1, 0.5], "norm_cfg": BN},
    ),
    "relative_transformer_fine": _network(
        _RELATIVE | {"type": "MAE", "final_norm": True, "patch_norm": True},
        _head("UPerHead", (16,) * 4, pool_scales=(1, 2), **_several(0, 1, 2, 3)),
        neck={"type": "Feature2Pyramid", "embed_dim": 16, "rescales": [2, 1, 0.5, 0.25], "norm_cfg": BN},
    ),
    "point_refined": _network(
        _DOWN,
        [
            _head("FPNHead", (8, 8, 8, 8), feature_strides=(4, 8, 16, 32), **_several(0, 1, 2, 3)),
            {"type": "PointHead", "in_channels": (8,), "in_index": (0,), "channels": 8, "num_fcs": 2, "num_classes": 5},
        ],
        neck={"type": "FPN", "in_channels": [8, 16, 32, 64], "out_channels": 8, "num_outs": 4},
        num_stages=2,
        test_cfg={"mode": "whole", "subdivision_steps": 2, "subdivision_num_points": 1600, "scale_factor": 2},
    ),
    "factorised": _network(
        {
            "type": "ERFNet",
            "enc_downsample_channels": (8, 12, 16),
            "enc_stage_non_bottlenecks": (1, 4),
            "enc_non_bottleneck_dilations": (2, 4),
            "enc_non_bottleneck_channels": (12, 16),
            "dec_upsample_channels": (12, 8),
            "dec_stages_non_bottleneck": (1, 2),
            "dec_non_bottleneck_channels": (12, 8),
        },
        _head("FCNHead", 8, num_convs=1, concat_input=False),
    ),
    "pooled_blocks": _network(
        {
            "type": "mmcls.PoolFormer",
            "arch": {"layers": [1, 2, 1], "embed_dims": [8, 16, 24], "mlp_ratios": [4, 2, 2]},
            "pool_size": 5,
            "in_patch_size": 7,
            "in_stride": 4,
            "in_pad": 2,
            "out_indices": (0, 2, 4),
        },
        _head("FPNHead", (8, 8, 8), feature_strides=(4, 8, 16), **_several(0, 1, 2)),
        neck={"type": "FPN", "in_channels": [8, 16, 24], "out_channels": 8, "num_outs": 3},
    ),
    "dense_transformer": _network(
        _VIT | {"num_layers": 4, "out_indices": (0, 1, 2, 3), "output_cls_token": True},
        _dense(readout_type="project", norm_cfg=BN),
    ),
    "dense_transformer_added": _network(
        _VIT | {"num_layers": 4, "out_indices": (0, 1, 2, 3), "output_cls_token": True, "final_norm": True},
        _dense(readout_type="add", act_cfg={"type": "GELU"}),
    ),
    "updated_kernels": _network(_RESNET, _kernels(_head("FCNHead", 64, 16, num_convs=1), {"channels": 16})),
    "updated_kernels_of_pyramid": _network(
        _DOWN,
        _kernels(
            _head("UPerHead", (8, 16, 32, 64), 16, pool_scales=(1, 2), **_several(0, 1, 2, 3)),
            {"channels": 8, "gate_sigmoid": False, "gate_norm_act": True, "activate_out": True},
            with_ffn=False,
            num_mask_fcs=2,
            feat_transform_cfg={"norm_cfg": BN},
            act_cfg={"type": "GELU"},
        ),
    ),
    "expectation": _network(_RESNET, _head("EMAHead", 64, ema_channels=8, num_bases=4, num_stages=3)),
}
SIZES_HW = ((97, 131), (64, 96))
MULTIPLES = {"unet": 4}
"""Of networks that take no other sizes."""
FIXED_HW = {"relative_transformer": (64, 96), "relative_transformer_fine": (64, 96)}
"""Of networks that take one size."""


def takes(name: str, size_hw: tuple[int, int]) -> bool:
    """Whether a family's network takes images of this size."""
    return size_hw == FIXED_HW.get(name, size_hw) and not any(side % MULTIPLES.get(name, 1) for side in size_hw)
