"""OCRNet on HRNet-W18 (hr18, hr18s), as mmsegmentation 0.x publishes it for Cityscapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._base import Network
from densecast.networks._fcn_head import FCNHead
from densecast.networks._hrnet import HRNet, shape_of, uniform_stages
from densecast.networks._ocr_head import OCRHead
from densecast.networks._options import require_int, require_ints
from densecast.networks._state import clean, explain_difference, out_channels, with_proven

_PUBLISHED: dict[object, str] = {(1, 4, 3): "hr18", (1, 3, 2): "hr18s"}
"""The two published networks, distinguished by the modules in their stages."""


@dataclass(frozen=True, slots=True)
class Options:
    """The defaults are hr18; hr18s is `stem_blocks=2, modules=(1, 3, 2), blocks=2`.

    Raises:
        BadConfigError: a value outside its bounds.
    """

    classes: int = 19
    base_width: int = 18
    stem_width: int = 64
    stem_blocks: int = 4
    modules: tuple[int, ...] = (1, 4, 3)
    blocks: int = 4
    ocr_channels: int = 512
    ocr_key_channels: int = 256

    def __post_init__(self) -> None:
        require_int("classes", self.classes, 1, 256)
        require_int("base_width", self.base_width, 1, 64)
        require_int("stem_width", self.stem_width, 1, 128)
        require_int("stem_blocks", self.stem_blocks, 1, 8)
        require_ints("modules", self.modules, 3, 1, 8)
        require_int("blocks", self.blocks, 1, 8)
        require_int("ocr_channels", self.ocr_channels, 1, 1024)
        require_int("ocr_key_channels", self.ocr_key_channels, 1, 1024)


class OCRNet(nn.Module):
    """HRNet; all branches side by side; a first head finds the classes, a second one looks at them."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        stages = uniform_stages(
            options.base_width, options.stem_width, options.stem_blocks, options.modules, options.blocks
        )
        self.backbone = HRNet(stages, stem_width=options.stem_width, fusion="bilinear", outputs=4)
        joined = sum(self.backbone.out_channels)
        self.decode_head = nn.ModuleList(
            [
                FCNHead(joined, joined, options.classes, count=1, kernel=1),
                OCRHead(joined, options.ocr_channels, options.ocr_key_channels, options.classes),
            ]
        )

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) float32 -> logits (N, classes, H / 4, W / 4), rounded up."""
        largest, *others = self.backbone(image)
        size = largest.shape[-2:]
        raised = [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in others]
        joined = torch.cat([largest, *raised], dim=1)
        coarse_head, ocr_head = self.decode_head
        logits: Tensor = ocr_head(joined, coarse_head(joined))
        return logits


def build(options: Options | None = None) -> nn.Module:
    """The network with fresh weights; the published hr18 when no options are given."""
    return OCRNet(options or Options())


def explain_mismatch(state: Mapping[str, Tensor], options: Options) -> str | None:
    """Why these weights cannot belong to a network with these options, as a sentence; None if unknown.

    It matters for hr18 and hr18s: either's weights load into the other without an error wherever missing and
    surplus keys are tolerated.
    """
    state = clean(state)
    proven = shape_of(state) | {"classes": out_channels(state, "decode_head.1.conv_seg.weight")}
    published = _PUBLISHED.get(proven["modules"])
    if proven["base_width"] == 18 and published is not None and proven["modules"] != options.modules:
        return f"these are {published} weights; use ocrnet_{published}"
    return explain_difference(proven, options)


def options_from_state(state: Mapping[str, Tensor], base: Options) -> Options:
    """`base` with the classes and widths that a cleaned state dict determines; which network it is stays as named.

    Raises:
        BadCheckpointError: no network has such weights.
    """
    return with_proven(
        {
            "classes": out_channels(state, "decode_head.1.conv_seg.weight"),
            "base_width": out_channels(state, "backbone.stage2.0.branches.0.0.conv1.weight"),
            "stem_width": out_channels(state, "backbone.conv1.weight"),
            "ocr_channels": out_channels(state, "decode_head.1.bottleneck.conv.weight"),
            "ocr_key_channels": out_channels(state, "decode_head.1.object_context_block.value_project.conv.weight"),
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
