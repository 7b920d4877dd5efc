"""HRNet (Sun et al. 2019, arXiv:1902.09212): parallel branches of stride 4 to 32 with repeated fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import BATCH_NORM, Norm, conv_bn
from densecast.networks._residual import EXPANSION, BlockKind, BlockStyle, residual_layer
from densecast.networks._state import ProvenOptions, count_children, out_channels

Fusion = Literal["bilinear", "nearest"]


@dataclass(frozen=True, slots=True)
class HRStage:
    """One stage: how many modules, and for each of its branches the blocks and their planes."""

    modules: int
    blocks: tuple[int, ...]
    planes: tuple[int, ...]
    kind: BlockKind = "basic"

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each branch."""
        return tuple(planes * EXPANSION[self.kind] for planes in self.planes)


def uniform_stages(
    base_width: int, stem_width: int, stem_blocks: int, modules: Sequence[int], blocks: int
) -> tuple[HRStage, ...]:
    """The published layout: each branch has twice the channels of the one before, and as many blocks."""
    return (
        HRStage(1, (stem_blocks,), (stem_width,), "bottleneck"),
        *(
            HRStage(count, (blocks,) * branches, tuple(base_width << branch for branch in range(branches)))
            for branches, count in enumerate(modules, start=2)
        ),
    )


class HRModule(nn.Module):
    """Residual blocks on every branch, then every output sums all branches brought to its size.

    Args:
        in_widths: channels of each branch before its blocks.
        stage: blocks and planes of the branches.
        fusion: how a smaller branch is brought up. mmsegmentation interpolates bilinearly, first by the
            power of two and then to the exact size (they differ when a size is odd); mmpose repeats pixels,
            which fits only when the network's input is a multiple of 32.
        outputs: how many branches are output, from the largest.
    """

    def __init__(
        self,
        in_widths: Sequence[int],
        stage: HRStage,
        fusion: Fusion,
        outputs: int,
        norm: Norm,
        *,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.fusion, self.align_corners = fusion, align_corners
        style, widths = BlockStyle(norm), stage.widths
        self.branches = nn.ModuleList(
            residual_layer(stage.kind, in_width, planes, 1, [1] * count, style)
            for in_width, planes, count in zip(in_widths, stage.planes, stage.blocks, strict=True)
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self._path(widths, source, target, norm) for source in range(len(widths)))
            for target in range(outputs if len(widths) > 1 else 0)
        )

    def _path(self, widths: Sequence[int], source: int, target: int, norm: Norm) -> nn.Module:
        if source == target:
            return nn.Identity()
        if source > target:
            align = self.align_corners if self.fusion == "bilinear" else None
            up = nn.Upsample(scale_factor=float(2 ** (source - target)), mode=self.fusion, align_corners=align)
            return nn.Sequential(*conv_bn(widths[source], widths[target], 1, norm=norm), up)
        # Down by one power of two a step; only the last step changes the width, and has no ReLU after it.
        keep = widths[source]
        steps = [
            nn.Sequential(*conv_bn(keep, keep, 3, stride=2, norm=norm), nn.ReLU()) for _ in range(target - source - 1)
        ]
        return nn.Sequential(*steps, nn.Sequential(*conv_bn(keep, widths[target], 3, stride=2, norm=norm)))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """One (N, width, h, w) per branch -> the first `outputs` of them, at the same sizes."""
        features = [branch(x) for branch, x in zip(self.branches, features, strict=True)]
        if not len(self.fuse_layers):
            return features
        fused = []
        for target, paths in enumerate(self.fuse_layers):
            assert isinstance(paths, nn.ModuleList)
            size = features[target].shape[-2:]
            terms = []
            for source, path in enumerate(paths):
                term: Tensor = path(features[source])
                if source > target and self.fusion == "bilinear":
                    # No test whether sizes differ already: that would be frozen into an exported graph.
                    term = F.interpolate(term, size=size, mode="bilinear", align_corners=self.align_corners)
                terms.append(term)
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            fused.append(F.relu(total))
        return fused


class HRNet(nn.Module):
    """Stem, a first stage of one branch, and stages that each may add smaller branches.

    Args:
        stages: the four stages.
        stem_width: channels of the stem.
        fusion: see `HRModule`.
        outputs: branches that come out of the last module, from the largest; all by default.
        norm: kind of normalisation.
        in_channels: of the image.
    """

    def __init__(
        self,
        stages: Sequence[HRStage],
        *,
        stem_width: int = 64,
        fusion: Fusion,
        outputs: int | None = None,
        norm: Norm = BATCH_NORM,
        in_channels: int = 3,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self._norms = (f"{norm.key}1", f"{norm.key}2")
        self.conv1, first = conv_bn(in_channels, stem_width, 3, stride=2, norm=norm)
        self.add_module(self._norms[0], first)
        self.conv2, second = conv_bn(stem_width, stem_width, 3, stride=2, norm=norm)
        self.add_module(self._norms[1], second)
        stem = stages[0]
        dilations = [1] * stem.blocks[0]
        self.layer1 = residual_layer(stem.kind, stem_width, stem.planes[0], 1, dilations, BlockStyle(norm))
        widths: tuple[int, ...] = stem.widths
        for number, stage in enumerate(stages[1:], start=1):
            self.add_module(f"transition{number}", _transition(widths, stage.widths, norm))
            widths = stage.widths
            last = len(widths) if outputs is None or number < len(stages) - 1 else outputs
            modules = []
            for index in range(stage.modules):
                kept = last if index == stage.modules - 1 else len(widths)
                modules.append(HRModule(widths, stage, fusion, kept, norm, align_corners=align_corners))
            self.add_module(f"stage{number + 1}", nn.Sequential(*modules))
        self._stages = len(stages)
        self.out_channels = list(widths[:outputs])

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> `outputs` maps (N, width_b, H / 4 / 2**b, W / 4 / 2**b), rounded up."""
        x = F.relu(getattr(self, self._norms[0])(self.conv1(image)))
        x = F.relu(getattr(self, self._norms[1])(self.conv2(x)))
        features: list[Tensor] = [self.layer1(x)]
        for number in range(1, self._stages):
            branches = getattr(self, f"transition{number}")
            # Branches that exist already pass through; a new one is made from the smallest.
            smallest = features[-1]
            features = [
                branch(features[index] if index < len(features) else smallest) for index, branch in enumerate(branches)
            ]
            features = getattr(self, f"stage{number + 1}")(features)
        return features


def _transition(before: Sequence[int], after: Sequence[int], norm: Norm) -> nn.ModuleList:
    branches: list[nn.Module] = []
    for index, width in enumerate(after):
        if index < len(before):
            same = before[index] == width
            branch = nn.Identity() if same else nn.Sequential(*conv_bn(before[index], width, 3, norm=norm), nn.ReLU())
            branches.append(branch)
            continue
        steps = []
        for step in range(index + 1 - len(before)):
            out_width = width if step == index - len(before) else before[-1]
            steps.append(nn.Sequential(*conv_bn(before[-1], out_width, 3, stride=2, norm=norm), nn.ReLU()))
        branches.append(nn.Sequential(*steps))
    return nn.ModuleList(branches)


def shape_of(state: Mapping[str, Tensor]) -> ProvenOptions:
    """`base_width`, `stem_blocks`, `modules`, `blocks` of the HRNet under `backbone.`; 0 if unknown."""
    return {
        "base_width": out_channels(state, "backbone.stage2.0.branches.0.0.conv1.weight"),
        "stem_blocks": count_children(state, "backbone.layer1."),
        "modules": tuple(count_children(state, f"backbone.stage{stage}.") for stage in (2, 3, 4)),
        "blocks": count_children(state, "backbone.stage2.0.branches.0."),
    }
