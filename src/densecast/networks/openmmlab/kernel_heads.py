"""K-Net's head: logits of another head, made anew by kernels that what they found updates (Zhang et al. 2021).

arXiv:2106.14855; equations are numbered as there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from densecast.networks._conv import Activation, ConvModule, activation_of
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.transformer_parts import FeedForward, OwnAttention
from densecast.networks.openmmlab.units import activation_of as read_activation
from densecast.networks.openmmlab.units import layer_norm_of, norm_of, plain_convolution, shared_activation_of

# Heads whose features the original can ask for.
_GENERATING = ("FCNHead", "PSPHead", "ASPPHead", "UPerHead")


class KernelUpdator(nn.Module):
    """A gated sum of kernels and of what they gathered, equations 4 and 5.

    Keys: `dynamic_layer`, `input_layer`, `input_gate`, `update_gate`, `fc_layer`, `norm_in`, `norm_out`,
    `input_norm_in`, `input_norm_out`, `fc_norm`, and `gate_norm` with `gate_norm_act`.
    """

    def __init__(
        self,
        channels: int,
        inner: int,
        out_channels: int,
        *,
        sigmoid: bool,
        normed: bool,
        activated: bool,
        eps: float,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.channels, self.inner = channels, inner
        self._sigmoid, self._normed, self._activated = sigmoid, normed, activated
        self.dynamic_layer, self.input_layer = nn.Linear(channels, 2 * inner), nn.Linear(channels, 2 * inner)
        self.input_gate, self.update_gate = nn.Linear(channels, inner), nn.Linear(channels, inner)
        if normed:
            self.gate_norm = nn.LayerNorm(inner, eps=eps)
        self.norm_in, self.norm_out = nn.LayerNorm(inner, eps=eps), nn.LayerNorm(inner, eps=eps)
        self.input_norm_in, self.input_norm_out = nn.LayerNorm(inner, eps=eps), nn.LayerNorm(inner, eps=eps)
        self.fc_layer, self.fc_norm = nn.Linear(inner, out_channels), nn.LayerNorm(out_channels, eps=eps)
        self.activation = activation_of(activation, 1)

    def forward(self, gathered: Tensor, kernels: Tensor) -> Tensor:
        """Both (M, channels) -> (M, out_channels)."""
        own, given = self.dynamic_layer(gathered), self.input_layer(kernels)
        gates = given[:, : self.inner] * own[:, : self.inner]
        if self._normed:
            gates = self.activation(self.gate_norm(gates))
        keep, change = self.input_norm_in(self.input_gate(gates)), self.norm_in(self.update_gate(gates))
        if self._sigmoid:
            keep, change = keep.sigmoid(), change.sigmoid()
        found, kept = self.norm_out(own[:, self.inner :]), self.input_norm_out(given[:, self.inner :])
        if self._activated:
            found, kept = self.activation(found), self.activation(kept)
        out: Tensor = self.activation(self.fc_norm(self.fc_layer(change * found + keep * kept)))
        return out


class KernelUpdateHead(nn.Module):
    """One round: kernels gather the features of their masks, are updated, attend to each other, and make new masks.

    Keys: `attention`, `attention_norm`, `kernel_update_conv`, `feat_transform`, `ffn`, `ffn_norm`, `mask_fcs.{i}`,
    `fc_mask`.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        updator: KernelUpdator,
        *,
        transform: nn.Module | None,
        feed_forward: nn.Module | None,
        mask_layers: int,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.attention, self.attention_norm = OwnAttention(channels, heads), nn.LayerNorm(channels)
        self.kernel_update_conv = updator
        self.feat_transform, self.ffn = transform, feed_forward
        self.ffn_norm = None if feed_forward is None else nn.LayerNorm(channels)
        layers: list[nn.Module] = []
        for _ in range(mask_layers):
            layers += [nn.Linear(channels, channels, bias=False), nn.LayerNorm(channels), activation_of(activation, 1)]
        self.mask_fcs = nn.Sequential(*layers)
        self.fc_mask = nn.Linear(channels, channels)

    def forward(self, x: Tensor, kernels: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, h, w), (N, classes, C) and (N, classes, h, w) -> new masks and kernels of the same shapes."""
        if self.feat_transform is not None:
            x = self.feat_transform(x)
        flat = x.flatten(2)
        gathered = torch.matmul(masks.flatten(2).softmax(dim=1), flat.transpose(1, 2))
        # Updators of less channels than the head's take its kernels in several parts.
        width = self.kernel_update_conv.channels
        updated = self.kernel_update_conv(gathered.reshape(-1, width), kernels.reshape(-1, width))
        made = updated.reshape(kernels.shape)
        made = self.attention_norm(made + self.attention(made))
        if self.ffn is not None and self.ffn_norm is not None:
            made = self.ffn_norm(made + self.ffn(made))
        found = torch.matmul(self.fc_mask(self.mask_fcs(made)), flat)
        return found.reshape(masks.shape), made


class IterativeDecodeHead(nn.Module):
    """Keys: `kernel_generate_head`, `kernel_update_head.{i}`."""

    def __init__(self, generating: Any, rounds: Sequence[nn.Module]) -> None:
        super().__init__()
        self.kernel_generate_head, self.kernel_update_head = generating, nn.ModuleList(rounds)

    def forward(self, x: Any) -> Tensor:
        """What the generating head takes -> logits (N, classes, h, w) of the last round."""
        features = self.kernel_generate_head.features(x)
        last = self.kernel_generate_head.conv_seg
        masks: Tensor = last(features)
        kernels = last.weight.flatten(1).unsqueeze(0).expand(features.shape[0], -1, -1)
        for each in self.kernel_update_head:
            masks, kernels = each(features, kernels, masks)
        return masks


def _updator(keys: Keys, head_channels: int) -> KernelUpdator:
    keys.only("type", "KernelUpdator")
    channels, inner = keys.integer("in_channels", 256), keys.integer("feat_channels", 64)
    given = keys.take("out_channels", None)
    out_channels = channels if given is None else given
    if head_channels % channels or not channels == inner == out_channels:
        raise keys.wrong(
            "in_channels",
            channels,
            f"feat_channels ({inner}), out_channels ({out_channels}), and a divisor of the head's {head_channels}",
        )
    made = KernelUpdator(
        channels,
        inner,
        out_channels,
        sigmoid=keys.flag("gate_sigmoid", True),
        normed=keys.flag("gate_norm_act", False),
        activated=keys.flag("activate_out", False),
        eps=layer_norm_of(keys, 1e-5),
        activation=shared_activation_of(keys),
    )
    keys.done()
    return made


def _transform(keys: Keys, channels: int) -> nn.Module | None:
    value = keys.take("feat_transform_cfg", None)
    if value is None:
        return None
    table = Keys(value, f"{keys.where}.feat_transform_cfg")
    table.only("kernel_size", 1)
    plain_convolution(table)
    norm, activation = norm_of(table), read_activation(table)
    table.done()
    return ConvModule(channels, channels, 1, norm=norm, activation=activation)


def _round(keys: Keys, channels: int) -> nn.Module:
    """KernelUpdateHead."""
    kind = keys.word("type")
    if kind != "KernelUpdateHead":
        raise keys.unknown("type", kind, ("KernelUpdateHead",))
    for name in ("in_channels", "out_channels"):
        width = keys.integer(name, 256)
        if width != channels:
            raise keys.wrong(name, width, f"the generating head's channels, {channels}")
    heads = keys.integer("num_heads", 8)
    if channels % heads:
        raise keys.wrong("num_heads", heads, f"a divisor of in_channels, {channels}")
    for name in ("conv_kernel_size", "feat_gather_stride", "mask_transform_stride"):
        keys.only(name, 1)
    activation, inner = shared_activation_of(keys), shared_activation_of(keys, name="ffn_act_cfg")
    hidden, count = keys.integer("feedforward_channels", 2048), keys.integer("num_ffn_fcs", 2, least=2, most=8)
    made = KernelUpdateHead(
        channels,
        heads,
        _updator(keys.table("kernel_updator_cfg"), channels),
        transform=_transform(keys, channels),
        feed_forward=FeedForward(channels, hidden, count, inner) if keys.flag("with_ffn", True) else None,
        mask_layers=keys.integer("num_mask_fcs", 3, least=0, most=32),
        activation=activation,
    )
    keys.ignore("num_classes", "dropout", "kernel_init")
    keys.done()
    return made


def iterative(keys: Keys, make: Callable[[Keys], Any]) -> Any:
    """IterativeDecodeHead in the place of the head that `make` makes of its table.

    Raises:
        BadConfigError: a part or a key that densecast does not know; or the original cannot build it.
    """
    table = keys.table("kernel_generate_head")
    kind = table.peek("type")
    if kind not in _GENERATING:
        raise table.unknown("type", kind, _GENERATING)
    channels = table.peek("channels")
    generating = make(table)
    if generating.classes < 2:
        raise table.wrong("num_classes", generating.classes, "2 or more: kernels of one class have nothing to share")
    rounds = keys.tables("kernel_update_head")
    count = keys.integer("num_stages")
    if count != len(rounds):
        raise keys.wrong("num_stages", count, f"the number of its update heads, {len(rounds)}")
    module = IterativeDecodeHead(generating.module, [_round(each, channels) for each in rounds])
    keys.ignore("init_cfg")
    keys.done()
    return replace(generating, module=module)
