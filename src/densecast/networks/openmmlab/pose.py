"""Bottom-up pose networks as MMPose's configurations describe them: backbone, head, and which outputs count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from densecast.networks.openmmlab import SELECTED, convolutional, output_names
from densecast.networks.openmmlab.hourglass import HourglassAENet
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.pose_heads import HigherResolutionHead, SimpleHead, StageHead, Upsampling
from densecast.networks.openmmlab.units import TRAINING, batch_norm_of, plain_convolution


class AssociativeEmbedding(nn.Module):
    """`backbone`, then `keypoint_head`: heatmaps and tags of one or several resolutions."""

    def __init__(self, backbone: nn.Module, head: nn.Module, selected: Sequence[int]) -> None:
        super().__init__()
        self.backbone, self.keypoint_head = backbone, head
        self._selected = tuple(selected)

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        """(N, 3, H, W) float32 -> the one output, or all selected ones by name: joints heatmaps, then tags."""
        maps: list[Tensor] = self.keypoint_head(self.backbone(image))
        chosen = [maps[index] for index in self._selected]
        return chosen[0] if len(chosen) == 1 else dict(zip(output_names(len(chosen)), chosen, strict=True))


def network(keys: Keys) -> nn.Module:
    """The network of a `model` table whose `type` has been read.

    Raises:
        BadConfigError: a part or a key that densecast does not know; the message names it.
    """
    backbone = _part(keys.table("backbone"), _BACKBONES)
    head, count = _part(keys.table("keypoint_head"), _HEADS)
    selected = keys.integers(SELECTED, tuple(range(count)), least=0)
    if any(index >= count for index in selected):
        raise keys.wrong(SELECTED, selected, f"among the head's {count} outputs, counted from 0")
    keys.ignore("train_cfg", "test_cfg", "pretrained", "loss_pose", "init_cfg")
    keys.done()
    return AssociativeEmbedding(backbone, head, sorted(set(selected)))


def _part(keys: Keys, known: dict[str, Callable[[Keys], Any]]) -> Any:
    kind = keys.word("type").removeprefix("mmpose.")
    if kind not in known:
        raise keys.unknown("type", kind, known)
    made = known[kind](keys)
    keys.done()
    return made


def _resnet(keys: Keys) -> nn.Module:
    keys.only("deep_stem", False)
    keys.only("avg_down", False)
    keys.only("expansion", None)
    made: nn.Module = convolutional.resnet(keys, default_indices=(3,))
    return made


def _hourglass(keys: Keys) -> nn.Module:
    depth = keys.integer("downsample_times", 4, most=8)
    widths = keys.integers("stage_channels", (256, 384, 512, 640, 768))
    if len(widths) <= depth:
        raise keys.wrong("stage_channels", widths, f"more than {depth} numbers")
    network = HourglassAENet(
        keys.integer("num_stacks", 1, most=16),
        depth,
        keys.integer("out_channels", 34),
        widths,
        keys.integer("feat_channels", 256),
        norm=batch_norm_of(keys),
    )
    plain_convolution(keys)
    keys.ignore(*TRAINING)
    return network


def _upsampling(keys: Keys, count: int, channels: tuple[int, ...], kernels: tuple[int, ...]) -> Upsampling:
    count = keys.integer("num_deconv_layers", count, least=0, most=8)
    if count == 0:
        keys.ignore("num_deconv_filters", "num_deconv_kernels")
        return ()
    widths = keys.integers("num_deconv_filters", channels, count=count)
    sizes = keys.integers("num_deconv_kernels", kernels, count=count)
    if not set(sizes) <= {2, 3, 4}:
        raise keys.wrong("num_deconv_kernels", sizes, "2, 3 or 4 each")
    return tuple(zip(widths, sizes, strict=True))


def _extra(keys: Keys, *kernels: int) -> tuple[int, tuple[int, ...]]:
    """The kernel of the last convolution, and those of the ones before it."""
    given = keys.take("extra", None)
    if given is None:
        return 1, ()
    extra = Keys(given, f"{keys.where}.extra")
    final = extra.integer("final_conv_kernel", 1, least=0, most=3)
    if final not in kernels:
        raise extra.wrong("final_conv_kernel", final, " or ".join(map(str, kernels)))
    count = extra.integer("num_conv_layers", 0, least=0, most=16)
    inner = extra.integers("num_conv_kernels", (1,) * max(count, 1))[:count]
    if len(inner) != count:
        raise extra.wrong("num_conv_kernels", inner, f"{count} numbers")
    extra.done()
    return final, inner


def _outputs_of(keys: Keys, stages: int) -> list[int]:
    """Channels of each output: heatmaps, with tags where an output was trained with them."""
    joints = keys.integer("num_joints", most=512)
    tags = joints if keys.flag("tag_per_joint", True) else 1
    with_tags = keys.flags("with_ae_loss", None, stages)
    keys.ignore("loss_keypoint")
    return [joints + tags if tagged else joints for tagged in with_tags]


def _simple(keys: Keys) -> tuple[nn.Module, int]:
    up = _upsampling(keys, 3, (256,) * 3, (4,) * 3)
    final, inner = _extra(keys, 0, 1, 3)
    (outputs,) = _outputs_of(keys, 1)
    return SimpleHead(keys.integer("in_channels"), outputs, up, final, inner), 1


def _higher(keys: Keys) -> tuple[nn.Module, int]:
    up = _upsampling(keys, 1, (32,), (4,))
    final, inner = _extra(keys, 1, 3)
    if inner:
        raise keys.wrong("extra.num_conv_layers", len(inner), "0")
    outputs = _outputs_of(keys, len(up) + 1)
    joins = keys.flags("cat_output", None, len(up))
    blocks = keys.integer("num_basic_blocks", 4, least=0, most=64)
    return HigherResolutionHead(keys.integer("in_channels"), outputs, up, joins, blocks, final), len(outputs)


def _stages(keys: Keys) -> tuple[nn.Module, int]:
    stages = keys.integer("num_stages", 1, most=16)
    up = _upsampling(keys, 3, (256,) * 3, (4,) * 3)
    final, inner = _extra(keys, 0, 1, 3)
    if inner:
        raise keys.wrong("extra.num_conv_layers", len(inner), "0")
    keys.ignore("loss_keypoint")
    return StageHead(keys.integer("in_channels"), keys.integer("out_channels"), stages, up, final), stages


_BACKBONES: dict[str, Callable[[Keys], Any]] = {
    "HRNet": partial(convolutional.hrnet, for_pose=True),
    "ResNet": _resnet,
    "MobileNetV2": partial(convolutional.mobilenet_v2, has_last=True),
    "HourglassAENet": _hourglass,
}
_HEADS: dict[str, Callable[[Keys], Any]] = {
    "AESimpleHead": _simple,
    "BottomUpSimpleHead": _simple,
    "AEHigherResolutionHead": _higher,
    "BottomUpHigherResolutionHead": _higher,
    "AEMultiStageHead": _stages,
}
