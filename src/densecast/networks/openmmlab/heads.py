"""Segmentation heads as configurations describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._aspp_head import ASPPHead, SeparableASPPHead
from densecast.networks._conv import Units
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
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import BN, activation_of, norm_of, plain_convolution

Select = Callable[[Sequence[Tensor]], Any]
"""What a head takes of the backbone's maps: one, several, or several joined."""


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


@dataclass(frozen=True, slots=True)
class Common:
    """The keys that all heads share."""

    in_channels: tuple[int, ...]
    channels: int
    classes: int
    units: Units
    align_corners: bool
    index: tuple[int, ...]
    transform: str | None
    select: Select

    @property
    def width(self) -> int:
        """Channels of the one map that most heads take."""
        return sum(self.in_channels) if self.transform == "resize_concat" else self.in_channels[0]


def common(keys: Keys, transform: str | None = None) -> Common:
    """Read what all heads share; `transform` is the one that this kind of head always has."""
    channels = keys.integer("channels")
    classes = keys.integer("num_classes", most=1 << 14)
    outputs = keys.take("out_channels", None)
    if outputs is not None and outputs not in (1, classes):
        raise keys.wrong("out_channels", outputs, f"1 or num_classes ({classes})")
    keys.ignore("dropout_ratio", "loss_decode", "ignore_index", "sampler", "init_cfg", "threshold")
    plain_convolution(keys)
    align = keys.flag("align_corners", False)
    given = keys.take("input_transform", transform)
    if given not in (None, "resize_concat", "multiple_select"):
        raise keys.unknown("input_transform", given, ("resize_concat", "multiple_select"))
    in_channels = keys.integers("in_channels", None)
    index = keys.integers("in_index", -1, least=-16)
    if given is not None and len(in_channels) != len(index):
        raise keys.wrong("in_index", index, f"as many as in_channels ({len(in_channels)})")
    return Common(
        in_channels,
        channels,
        classes if outputs is None else outputs,
        Units(norm_of(keys), activation_of(keys)),
        align,
        index,
        given,
        selection(index, given, align),
    )


def selection(index: Sequence[int], transform: str | None, align_corners: bool) -> Select:
    """What takes these maps of all, and joins them where the transform says so."""

    def select(maps: Sequence[Tensor]) -> Any:
        chosen = [maps[each] for each in index]
        if transform is None:
            return chosen[0]
        if transform == "multiple_select":
            return chosen
        size = chosen[0].shape[-2:]
        raised = [F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners) for x in chosen]
        return torch.cat(raised, dim=1)

    return select


def _fcn(keys: Keys, shared: Common) -> nn.Module:
    return FCNHead(
        shared.width,
        shared.channels,
        shared.classes,
        count=keys.integer("num_convs", 2, least=0),
        kernel=keys.integer("kernel_size", 3),
        concat_input=keys.flag("concat_input", True),
        dilation=keys.integer("dilation", 1),
        units=shared.units,
    )


def _psp(keys: Keys, shared: Common) -> nn.Module:
    scales = keys.integers("pool_scales", (1, 2, 3, 6))
    return PSPHead(
        shared.width, shared.channels, shared.classes, scales, align_corners=shared.align_corners, units=shared.units
    )


def _aspp(keys: Keys, shared: Common) -> nn.Module:
    first, *rates = keys.integers("dilations", (1, 6, 12, 18))
    is_plain = first == 1
    return ASPPHead(
        shared.width,
        shared.channels,
        shared.classes,
        rates if is_plain else (first, *rates),
        first=is_plain,
        units=shared.units,
    )


def _separable_aspp(keys: Keys, shared: Common) -> nn.Module:
    first, *rates = keys.integers("dilations", (1, 6, 12, 18))
    is_plain = first == 1
    low = keys.integer("c1_in_channels", least=0)
    return SeparableASPPHead(
        shared.width,
        shared.channels,
        shared.classes,
        rates if is_plain else (first, *rates),
        low_channels=low,
        low_width=keys.integer("c1_channels", least=0),
        align_corners=shared.align_corners,
        first=is_plain,
        units=shared.units,
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
    return UPerHead(
        shared.in_channels,
        shared.channels,
        shared.classes,
        scales,
        align_corners=shared.align_corners,
        units=shared.units,
    )


def _segformer(keys: Keys, shared: Common) -> nn.Module:
    mode = keys.word("interpolate_mode", "bilinear")
    if mode not in ("bilinear", "nearest"):
        raise keys.unknown("interpolate_mode", mode, ("bilinear", "nearest"))
    return SegformerHead(
        shared.in_channels,
        shared.channels,
        shared.classes,
        align_corners=shared.align_corners,
        nearest=mode == "nearest",
        units=shared.units,
    )


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
    "SegmenterMaskTransformerHead": (transformer_heads.segmenter, None),
    "DPTHead": (dense_transformer.dpt, "multiple_select"),
}
"""By the type in a configuration: what makes the head, and the transform that it always has."""
_ITERATIVE = "IterativeDecodeHead"


def head(keys: Keys, refining: Mapping[str, Any] | None = None) -> Head:
    """The head of a `decode_head` table; `refining` is what `test_cfg` says of heads that refine logits.

    Raises:
        BadConfigError: of a kind or with a key that densecast does not know.
    """
    kind = keys.word("type").removeprefix("mmseg.")
    if kind == _ITERATIVE:
        return kernel_heads.iterative(keys, head)
    if kind not in HEADS:
        raise keys.unknown("type", kind, (*HEADS, _ITERATIVE))
    if kind == "DPTHead":
        keys.supply({"norm_cfg": BN})
    if kind == "PointHead":
        keys.only("conv_cfg", {"type": "Conv1d"}, None)
        keys.supply(refining or {})
    make, transform = HEADS[kind]
    shared = common(keys, transform)
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
