"""UNet-S5-D16 with an FCN head, as mmsegmentation 0.x publishes it for Cityscapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from densecast.networks._assembly import Segmenter
from densecast.networks._base import Network
from densecast.networks._fcn_head import FCNHead
from densecast.networks._options import require_int
from densecast.networks._state import ProvenOptions, clean, explain_difference, out_channels, with_proven
from densecast.networks._unet import UNetBackbone, uniform

_STAGES = 5


@dataclass(frozen=True, slots=True)
class Options:
    """The defaults are the published network.

    Raises:
        BadConfigError: a value outside its bounds.
    """

    classes: int = 19
    base_width: int = 64

    def __post_init__(self) -> None:
        require_int("classes", self.classes, 1, 256)
        require_int("base_width", self.base_width, 1, 128)


def build(options: Options | None = None) -> nn.Module:
    """(N, 3, H, W) -> logits (N, classes, H, W) at full size; H and W multiples of 16. Fresh weights."""
    options = options or Options()
    head = FCNHead(options.base_width, options.base_width, options.classes, count=1)
    return Segmenter(UNetBackbone(uniform(options.base_width, _STAGES)), head)


def explain_mismatch(state: Mapping[str, Tensor], options: Options) -> str | None:
    """Why these weights cannot belong to a network with these options, as a sentence; None if unknown."""
    state = clean(state)
    proven: ProvenOptions = {
        "base_width": out_channels(state, "backbone.encoder.0.0.convs.0.conv.weight"),
        "classes": out_channels(state, "decode_head.conv_seg.weight"),
    }
    return explain_difference(proven, options)


def options_from_state(state: Mapping[str, Tensor], base: Options) -> Options:
    """`base` with the classes and widths that a cleaned state dict determines; which network it is stays as named.

    Raises:
        BadCheckpointError: no network has such weights.
    """
    return with_proven(
        {
            "base_width": out_channels(state, "backbone.encoder.0.0.convs.0.conv.weight"),
            "classes": out_channels(state, "decode_head.conv_seg.weight"),
        },
        base,
    )


NETWORK: Network[Options] = Network(
    Options,
    build,
    clean,
    input_multiple=16,
    explain_mismatch=explain_mismatch,
    options_from_state=options_from_state,
)
