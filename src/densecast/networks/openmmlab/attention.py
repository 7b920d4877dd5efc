"""Heads with attention as configurations describe them."""

from __future__ import annotations

from torch import nn

from densecast.networks._self_attention import GlobalContext, NonLocal
from densecast.networks.openmmlab import attention_heads as parts
from densecast.networks.openmmlab import encoding_heads, relation_heads
from densecast.networks.openmmlab.adaptive_pyramid import AdaptivePyramidHead
from densecast.networks.openmmlab.head_keys import Common
from densecast.networks.openmmlab.keys import Keys


def _between(keys: Keys, shared: Common, name: str, block: nn.Module) -> nn.Module:
    count = keys.integer("num_convs", 2, least=2, most=2)
    assert count == 2
    keys.only("dilation", 1)
    return shared.of_one(
        parts.BetweenHead,
        (name, block),
        kernel=keys.integer("kernel_size", 3),
        concat_input=keys.flag("concat_input", True),
    )


def non_local(keys: Keys, shared: Common) -> nn.Module:
    """NLHead."""
    keys.only("mode", "embedded_gaussian")
    block = NonLocal(shared.channels, keys.integer("reduction", 2), keys.flag("use_scale", True), shared.units.norm)
    return _between(keys, shared, "nl_block", block)


def disentangled(keys: Keys, shared: Common) -> nn.Module:
    """DNLHead."""
    keys.only("mode", "embedded_gaussian")
    reduction, scaled = keys.integer("reduction", 2), keys.flag("use_scale", True)
    temperature = keys.number("temperature", 0.05)
    if temperature <= 0:
        raise keys.wrong("temperature", temperature, "above 0")
    return _between(
        keys, shared, "dnl_block", NonLocal(shared.channels, reduction, scaled, shared.units.norm, temperature)
    )


def global_context(keys: Keys, shared: Common) -> nn.Module:
    """GCHead."""
    keys.only("pooling_type", "att")
    keys.only("fusion_types", ("channel_add",))
    return _between(keys, shared, "gc_block", GlobalContext(shared.channels, keys.number("ratio", 0.25)))


def dual(keys: Keys, shared: Common) -> nn.Module:
    """DAHead."""
    return shared.of_one(parts.DualAttentionHead, keys.integer("pam_channels"))


def interlaced(keys: Keys, shared: Common) -> nn.Module:
    """ISAHead."""
    inner = keys.integer("isa_channels")
    height, width = keys.integers("down_factor", (8, 8), count=2)
    return shared.of_one(parts.InterlacedHead, inner, (height, width))


def asymmetric(keys: Keys, shared: Common) -> nn.Module:
    """ANNHead."""
    keys.only("query_scales", (1,))
    if len(shared.in_channels) != 2:
        raise keys.wrong("in_channels", shared.in_channels, "of two maps")
    inner = keys.integer("project_channels")
    scales = keys.integers("key_pool_scales", (1, 3, 6, 8))
    return shared.of_all(parts.AsymmetricHead, inner, scales)


def expectation(keys: Keys, shared: Common) -> nn.Module:
    """EMAHead."""
    keys.ignore("momentum")
    return shared.of_one(
        encoding_heads.ExpectationHead,
        keys.integer("ema_channels"),
        keys.integer("num_bases"),
        keys.integer("num_stages"),
        keys.flag("concat_input", True),
    )


def encoding(keys: Keys, shared: Common) -> nn.Module:
    """EncHead."""
    keys.ignore("loss_se_decode")
    return shared.of_all(
        encoding_heads.EncodingHead,
        keys.integer("num_codes", 32),
        lateral=keys.flag("add_lateral", False),
        se_loss=keys.flag("use_se_loss", True),
        align_corners=shared.align_corners,
    )


def adaptive_pyramid(keys: Keys, shared: Common) -> nn.Module:
    """APCHead."""
    scales, fuses = keys.integers("pool_scales", (1, 2, 3, 6)), keys.flag("fusion", True)
    return shared.of_one(AdaptivePyramidHead, scales, fuses)


def criss_cross(keys: Keys, shared: Common) -> nn.Module:
    """CCHead."""
    block = relation_heads.RecurrentCrissCross(shared.channels, keys.integer("recurrence", 2, most=64))
    return _between(keys, shared, "cca", block)


_DIRECTIONS = ("bi-direction", "collect", "distribute")


def pointwise(keys: Keys, shared: Common) -> nn.Module:
    """PSAHead."""
    height, width = keys.integers("mask_size", count=2)
    kind = keys.word("psa_type", "bi-direction")
    if kind not in _DIRECTIONS:
        raise keys.unknown("psa_type", kind, _DIRECTIONS)
    keys.only("compact", False)
    divisor = keys.take("normalization_factor", 1.0)
    if divisor is not None and (not isinstance(divisor, (int, float)) or divisor <= 0):
        raise keys.wrong("normalization_factor", divisor, "above 0, or None")
    return shared.of_one(
        relation_heads.PointwiseHead,
        mask_hw=(height, width),
        kind=kind,
        shrink=keys.integer("shrink_factor", 2),
        divisor=float(height * width if divisor is None else divisor),
        softmax=keys.flag("psa_softmax", True),
        align_corners=shared.align_corners,
    )


def dynamic_filters(keys: Keys, shared: Common) -> nn.Module:
    """DMHead."""
    sizes, fuses = keys.integers("filter_sizes", (1, 3, 5, 7)), keys.flag("fusion", False)
    if max(sizes) > 31:
        raise keys.wrong("filter_sizes", sizes, "at most 31 each")
    return shared.of_one(relation_heads.DynamicFilterHead, sizes, fuses)
