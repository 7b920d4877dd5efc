"""DeepLabV3 on ResNet-101-V1c, output stride 16, multi-grid 1-2-4, as mmsegmentation 0.x publishes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from densecast.networks._aspp_head import ASPPHead
from densecast.networks._assembly import Segmenter
from densecast.networks._base import Network
from densecast.networks._options import require_int, require_ints
from densecast.networks._resnet import ResNetV1c, depths_of
from densecast.networks._state import ProvenOptions, clean, explain_difference, out_channels, with_proven


@dataclass(frozen=True, slots=True)
class Options:
    """The defaults are R101-D16-MG124 for Cityscapes.

    Raises:
        BadConfigError: a value outside its bounds, or a multi-grid without one number per block of layer 4.
    """

    classes: int = 19
    base_width: int = 64
    blocks: tuple[int, ...] = (3, 4, 23, 3)
    multi_grid: tuple[int, ...] = (1, 2, 4)
    head_channels: int = 512
    rates: tuple[int, ...] = (6, 12, 18)

    def __post_init__(self) -> None:
        require_int("classes", self.classes, 1, 256)
        require_int("base_width", self.base_width, 2, 128)
        require_ints("blocks", self.blocks, 4, 1, 64)
        require_ints("multi_grid", self.multi_grid, self.blocks[3], 1, 64)
        require_int("head_channels", self.head_channels, 1, 1024)
        require_ints("rates", self.rates, 3, 1, 64)


def build(options: Options | None = None) -> nn.Module:
    """(N, 3, H, W) -> logits (N, classes, H / 16, W / 16), each halving rounded up. Fresh weights."""
    options = options or Options()
    # The multi-grid is the dilation of layer 4, not a factor of it.
    dilations = [*((1,) * count for count in options.blocks[:3]), options.multi_grid]
    backbone = ResNetV1c(options.base_width, strides=(1, 2, 2, 1), dilations=dilations)
    head = ASPPHead(backbone.out_channels, options.head_channels, options.classes, options.rates)
    return Segmenter(backbone, head)


def explain_mismatch(state: Mapping[str, Tensor], options: Options) -> str | None:
    """Why these weights cannot belong to a network with these options, as a sentence; None if unknown."""
    state = clean(state)
    proven: ProvenOptions = {
        "blocks": depths_of(state),
        "classes": out_channels(state, "decode_head.conv_seg.weight"),
        "head_channels": out_channels(state, "decode_head.bottleneck.conv.weight"),
    }
    return explain_difference(proven, options)


def options_from_state(state: Mapping[str, Tensor], base: Options) -> Options:
    """`base` with the classes and widths that a cleaned state dict determines; which network it is stays as named.

    Raises:
        BadCheckpointError: no network has such weights.
    """
    return with_proven(
        {
            "base_width": out_channels(state, "backbone.layer1.0.conv1.weight"),
            "classes": out_channels(state, "decode_head.conv_seg.weight"),
            "head_channels": out_channels(state, "decode_head.bottleneck.conv.weight"),
        },
        base,
    )


NETWORK: Network[Options] = Network(
    Options,
    build,
    clean,
    explain_mismatch=explain_mismatch,
    options_from_state=options_from_state,
)
