"""Keys have the effect that they have in the original, as `parity/check_keys.py` finds it, or are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openmmlab_families import BN, FAMILIES

torch = pytest.importorskip("torch")

from densecast.errors import BadConfigError  # noqa: E402
from densecast.networks import openmmlab  # noqa: E402

pytestmark = pytest.mark.torch
PRELU = {"type": "PReLU"}
FINE = {"type": "BN", "eps": 0.01}


def built(family: str, part: str, **keys: Any) -> Any:
    table = FAMILIES[family]
    with torch.device("meta"):
        return openmmlab.build(openmmlab.Options.of({**table, part: {**table[part], **keys}})).eval()


@pytest.mark.parametrize(
    ("family", "part", "keys", "holds"),
    [
        ("psp", "decode_head", {"act_cfg": PRELU}, lambda n: n.decode_head.bottleneck.activate.weight.shape == (1,)),
        (
            "joint_upsampling",
            "decode_head",
            {"norm_cfg": FINE},
            lambda n: n.decode_head.enc_module.encoding[1].eps == 0.01,
        ),
        (
            "joint_upsampling",
            "decode_head",
            {"norm_cfg": {"type": "GN", "num_groups": 2}},
            lambda n: isinstance(n.decode_head.enc_module.encoding[1], torch.nn.GroupNorm),
        ),
        (
            "fast_scnn",
            "decode_head",
            {"act_cfg": {"type": "GELU"}},
            lambda n: isinstance(n.decode_head.convs[0].pointwise_conv.activate, torch.nn.ReLU),
        ),
        (
            "interlaced",
            "decode_head",
            {"norm_cfg": None},
            lambda n: "decode_head.global_relation.key_project.0.conv.bias" in n.state_dict(),
        ),
        pytest.param(
            "swin",
            "backbone",
            {"patch_norm": False},
            lambda n: not any("downsample.norm" in key for key in n.state_dict()),
            marks=pytest.mark.slow,
        ),
        (
            "segmenter",
            "decode_head",
            {"norm_cfg": {"type": "LN", "eps": 0.01}},
            lambda n: n.decode_head.mask_norm.eps == 0.01,
        ),
        (
            "segmenter",
            "decode_head",
            {"act_cfg": {"type": "ReLU"}},
            lambda n: isinstance(n.decode_head.layers[0].ffn.layers[0][1], torch.nn.ReLU),
        ),
        ("segformer", "backbone", {"out_indices": (3, 2, 1, 0)}, lambda n: n.backbone.out_indices == (0, 1, 2, 3)),
        ("factorised", "backbone", {"norm_cfg": FINE}, lambda n: n.backbone.encoder[0].bn.eps == 1e-3),
        (
            "dense_transformer",
            "decode_head",
            {"norm_cfg": None},
            lambda n: not any("bn" in key for key in n.state_dict()),
        ),
    ],
)  # fmt: skip
def test_a_key_has_the_originals_effect(
    family: str, part: str, keys: dict[str, Any], holds: Callable[[Any], bool]
) -> None:
    assert holds(built(family, part, **keys))


@pytest.mark.parametrize(
    ("family", "part", "keys", "said"),
    [
        ("split_attention", "backbone", {"style": "caffe"}, "style = 'caffe' changes the network"),
        ("relative_transformer", "backbone", {"patch_size": 9}, "img_size must be a multiple of patch_size, 9"),
        ("dual", "decode_head", {"out_channels": 1}, r"out_channels must be num_classes \(5\) with this head, got 1"),
        ("segmenter", "decode_head", {"out_channels": 1}, "out_channels must be num_classes"),
        ("vision_transformer", "backbone", {"act_cfg": PRELU}, "act_cfg must be an activation without weights"),
        ("swin", "backbone", {"act_cfg": None}, "act_cfg must be an activation without weights"),
        ("swin", "backbone", {"qk_scale": "small"}, "qk_scale must be a number"),
    ],
)
def test_what_has_another_effect_is_refused_by_key(family: str, part: str, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfigError, match=said):
        built(family, part, **keys)


def test_inner_hourglasses_keep_the_usual_normalisation_as_in_the_original() -> None:
    backbone = {
        "type": "HourglassAENet", "downsample_times": 2, "out_channels": 6, "feat_channels": 8, "norm_cfg": FINE,
        "stage_channels": (8, 12, 16),
    }  # fmt: skip
    head = {"type": "AEMultiStageHead", "in_channels": 6, "out_channels": 6, "num_deconv_layers": 0}
    table = {"type": "AssociativeEmbedding", "backbone": backbone, "keypoint_head": head}
    with torch.device("meta"):
        outer = openmmlab.build(openmmlab.Options.of(table)).backbone.hourglass_modules[0][0]  # type: ignore[index, union-attr]
    assert (outer.up1.bn.eps, outer.low2.up1.bn.eps) == (0.01, 1e-5) and BN
