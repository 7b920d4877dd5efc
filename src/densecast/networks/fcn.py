"""FCN on ResNet-50-V1c, output stride 8, as mmsegmentation 0.x publishes it for Pascal VOC 2012."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from densecast.networks._assembly import Segmenter
from densecast.networks._base import Network
from densecast.networks._fcn_head import FCNHead
from densecast.networks._options import require_int, require_ints
from densecast.networks._resnet import ResNetV1c, depths_of
from densecast.networks._state import ProvenOptions, clean, explain_difference, out_channels, with_proven


@dataclass(frozen=True, slots=True)
class Options:
    """The defaults are R50-D8 for Pascal VOC 2012.

    Raises:
        BadConfigError: a value outside its bounds.
    """

    classes: int = 21
    base_width: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    head_channels: int = 512

    def __post_init__(self) -> None:
        require_int("classes", self.classes, 1, 256)
        require_int("base_width", self.base_width, 2, 128)
        require_ints("blocks", self.blocks, 4, 1, 64)
        require_int("head_channels", self.head_channels, 1, 1024)


def build(options: Options | None = None) -> nn.Module:
    """(N, 3, H, W) -> logits (N, classes, H / 8, W / 8), each halving rounded up. Fresh weights."""
    options = options or Options()
    layer1, layer2, layer3, layer4 = options.blocks
    # Layers 3 and 4 dilate by 2 and 4 instead of striding; the first block of each still by half of it.
    dilations = [(1,) * layer1, (1,) * layer2, (1,) + (2,) * (layer3 - 1), (2,) + (4,) * (layer4 - 1)]
    backbone = ResNetV1c(options.base_width, strides=(1, 2, 1, 1), dilations=dilations)
    head = FCNHead(backbone.out_channels, options.head_channels, options.classes, count=2, concat_input=True)
    return Segmenter(backbone, head)


def explain_mismatch(state: Mapping[str, Tensor], options: Options) -> str | None:
    """Why these weights cannot belong to a network with these options, as a sentence; None if unknown."""
    state = clean(state)
    proven: ProvenOptions = {
        "blocks": depths_of(state),
        "classes": out_channels(state, "decode_head.conv_seg.weight"),
        "head_channels": out_channels(state, "decode_head.conv_cat.conv.weight"),
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
            "head_channels": out_channels(state, "decode_head.conv_cat.conv.weight"),
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
