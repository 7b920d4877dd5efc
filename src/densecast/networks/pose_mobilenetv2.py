"""MobileNetV2 for bottom-up pose by associative embedding, as mmpose 0.x publishes it for COCO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from densecast.networks._assembly import BottomUpPose
from densecast.networks._base import Network
from densecast.networks._inverted_residual import MobileNetV2, MobileStage
from densecast.networks._keypoint_head import DECONVOLUTIONS, KeypointHead, joints_of
from densecast.networks._options import require_int, require_ints
from densecast.networks._state import ProvenOptions, clean, count_children, explain_difference, out_channels

# Table 2 of Sandler et al. 2018 (arXiv:1801.04381): the stride of each of the seven stages.
_STRIDES = (1, 2, 2, 2, 1, 2, 1)


@dataclass(frozen=True, slots=True)
class Options:
    """The defaults are MobileNetV2 x1.0 for COCO's 17 joints. The first stage does not expand.

    Raises:
        BadConfigError: a value outside its bounds.
    """

    joints: int = 17
    stem_width: int = 32
    widths: tuple[int, ...] = (16, 24, 32, 64, 96, 160, 320)
    blocks: tuple[int, ...] = (1, 2, 3, 4, 3, 3, 1)
    expansion: int = 6
    last_width: int = 1280
    head_channels: int = 256

    def __post_init__(self) -> None:
        require_int("joints", self.joints, 1, 256)
        require_int("stem_width", self.stem_width, 1, 256)
        require_ints("widths", self.widths, len(_STRIDES), 1, 1024)
        require_ints("blocks", self.blocks, len(_STRIDES), 1, 16)
        require_int("expansion", self.expansion, 2, 12)
        require_int("last_width", self.last_width, 1, 4096)
        require_int("head_channels", self.head_channels, 1, 1024)


def build(options: Options | None = None) -> nn.Module:
    """(N, 3, H, W) -> (N, 2 * joints, H / 4, W / 4); H and W multiples of 32. Fresh weights."""
    options = options or Options()
    head = KeypointHead(options.last_width, options.joints, (options.head_channels,) * DECONVOLUTIONS)
    stages = [
        MobileStage(width, count, options.expansion if number else 1, stride)
        for number, (width, count, stride) in enumerate(zip(options.widths, options.blocks, _STRIDES, strict=True))
    ]
    return BottomUpPose(MobileNetV2(options.stem_width, stages, options.last_width), head)


def explain_mismatch(state: Mapping[str, Tensor], options: Options) -> str | None:
    """Why these weights cannot belong to a network with these options, as a sentence; None if unknown."""
    state = clean(state)
    stages = range(1, len(_STRIDES) + 1)
    proven: ProvenOptions = {
        "blocks": tuple(count_children(state, f"backbone.layer{stage}.") for stage in stages),
        "stem_width": out_channels(state, "backbone.conv1.conv.weight"),
        "last_width": out_channels(state, "backbone.conv2.conv.weight"),
        "joints": joints_of(state),
    }
    return explain_difference(proven, options)


NETWORK: Network[Options] = Network(
    Options,
    build,
    clean,
    # The network itself needs multiples of 32; the published results were measured with multiples of 64.
    input_multiple=64,
    explain_mismatch=explain_mismatch,
)
