"""Segmentation heads as configurations describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from densecast.networks._aspp_head import ASPPHead, SeparableASPPHead
from densecast.networks._fcn_head import FCNHead
from densecast.networks._ocr_head import OCRHead
from densecast.networks._pyramid_heads import PSPHead, SegformerHead, UPerHead
from densecast.networks.openmmlab import (
    attention,
    dense_transformer,
    dual_resolution,
    kernel_heads,
    light_heads,
    point_head,
    transformer_heads,
)
from densecast.networks.openmmlab.head_keys import Common, Select, common
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import BN


@dataclass(frozen=True, slots=True)
class Head:
    """A head, what it takes of the maps, and the convention by which its logits are brought to the image's size.

    With `takes_class` it takes each map together with its class token.
    """

    module: nn.Module
    select: Select
    align_corners: bool
    classes: int
    takes_class: bool = False


def _fcn(keys: Keys, shared: Common) -> nn.Module:
    return shared.of_one(
        FCNHead,
        count=keys.integer("num_convs", 2, least=0),
        kernel=keys.integer("kernel_size", 3),
        concat_input=keys.flag("concat_input", True),
        dilation=keys.integer("dilation", 1),
    )


def _psp(keys: Keys, shared: Common) -> nn.Module:
    scales = keys.integers("pool_scales", (1, 2, 3, 6))
    return shared.of_one(PSPHead, scales, align_corners=shared.align_corners)


def _aspp(keys: Keys, shared: Common) -> nn.Module:
    first, *rates = keys.integers("dilations", (1, 6, 12, 18))
    is_plain = first == 1
    return shared.of_one(ASPPHead, rates if is_plain else (first, *rates), first=is_plain)


def _separable_aspp(keys: Keys, shared: Common) -> nn.Module:
    first, *rates = keys.integers("dilations", (1, 6, 12, 18))
    is_plain = first == 1
    low = keys.integer("c1_in_channels", least=0)
    return shared.of_one(
        SeparableASPPHead,
        rates if is_plain else (first, *rates),
        low_channels=low,
        low_width=keys.integer("c1_channels", least=0),
        align_corners=shared.align_corners,
        first=is_plain,
    )


def _ocr(keys: Keys, shared: Common) -> nn.Module:
    return OCRHead(
        shared.width,
        shared.channels,
        keys.integer("ocr_channels"),
        shared.classes,
        scale=keys.number("scale", 1),
        units=shared.units,
    )


def _uper(keys: Keys, shared: Common) -> nn.Module:
    scales = keys.integers("pool_scales", (1, 2, 3, 6))
    return shared.of_all(UPerHead, scales, align_corners=shared.align_corners)


def _segformer(keys: Keys, shared: Common) -> nn.Module:
    mode = keys.word("interpolate_mode", "bilinear")
    if mode not in ("bilinear", "nearest"):
        raise keys.unknown("interpolate_mode", mode, ("bilinear", "nearest"))
    return shared.of_all(SegformerHead, align_corners=shared.align_corners, nearest=mode == "nearest")


_OF_TOKENS = "SegmenterMaskTransformerHead"
Make = Callable[[Keys, Common], nn.Module]
HEADS: dict[str, tuple[Make, str | None]] = {
    "FCNHead": (_fcn, None),
    "PSPHead": (_psp, None),
    "ASPPHead": (_aspp, None),
    "DepthwiseSeparableASPPHead": (_separable_aspp, None),
    "OCRHead": (_ocr, None),
    "UPerHead": (_uper, "multiple_select"),
    "SegformerHead": (_segformer, "multiple_select"),
    "LRASPPHead": (light_heads.lraspp, "multiple_select"),
    "DepthwiseSeparableFCNHead": (light_heads.separable_fcn, None),
    "FPNHead": (light_heads.pyramid_sum, "multiple_select"),
    "NLHead": (attention.non_local, None),
    "DNLHead": (attention.disentangled, None),
    "GCHead": (attention.global_context, None),
    "DAHead": (attention.dual, None),
    "ISAHead": (attention.interlaced, None),
    "ANNHead": (attention.asymmetric, "multiple_select"),
    "EMAHead": (attention.expectation, None),
    "EncHead": (attention.encoding, "multiple_select"),
    "APCHead": (attention.adaptive_pyramid, None),
    "CCHead": (attention.criss_cross, None),
    "PSAHead": (attention.pointwise, None),
    "DMHead": (attention.dynamic_filters, None),
    "PointHead": (point_head.point_head, "multiple_select"),
    "DDRHead": (dual_resolution.ddr_head, None),
    "PIDHead": (dual_resolution.pid_head, None),
    "SETRUPHead": (transformer_heads.setr_up, None),
    "SETRMLAHead": (transformer_heads.setr_mla, "multiple_select"),
    _OF_TOKENS: (transformer_heads.segmenter, None),
    "DPTHead": (dense_transformer.dpt, "multiple_select"),
}
"""By the type in a configuration: what makes the head, and the transform that it always has."""
_ITERATIVE = "IterativeDecodeHead"
# Heads that have weights for each class beside those of their last convolution.
_OF_ALL_CLASSES = ("DAHead", "EncHead", "PointHead", _OF_TOKENS)


def head(keys: Keys, refining: Mapping[str, Any] | None = None) -> Head:
    """The head of a `decode_head` table; `refining` is what `test_cfg` says of heads that refine logits.

    Raises:
        BadConfigError: of a kind or with a key that densecast does not know.
    """
    kind = keys.word("type").removeprefix("mmseg.")
    if kind == _ITERATIVE:
        refining_head: Head = kernel_heads.iterative(keys, head)
        return refining_head
    if kind not in HEADS:
        raise keys.unknown("type", kind, (*HEADS, _ITERATIVE))
    if kind == "DPTHead":
        keys.supply({"norm_cfg": BN})
    if kind == "PointHead":
        keys.only("conv_cfg", {"type": "Conv1d"}, None)
        keys.supply(refining or {})
    make, transform = HEADS[kind]
    shared = common(keys, transform, has_units=kind != _OF_TOKENS)
    if kind in _OF_ALL_CLASSES and shared.classes != shared.named:
        raise keys.wrong("out_channels", shared.classes, f"num_classes ({shared.named}) with this head")
    if transform is not None and shared.transform != transform:
        raise keys.wrong("input_transform", shared.transform, repr(transform))
    module = make(keys, shared)
    keys.done()
    select = shared.select
    if kind == "DepthwiseSeparableASPPHead":
        # It also takes the very first map.
        def select(maps: Sequence[Tensor]) -> Any:
            return (shared.select(maps), maps[0])

    return Head(module, select, shared.align_corners, shared.classes, takes_class=kind == "DPTHead")
