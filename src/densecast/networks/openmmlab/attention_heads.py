"""Heads with attention between positions: non-local, global, dual, interlaced, asymmetric."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import ConvModule, Units
from densecast.networks._fcn_head import FCNHead
from densecast.networks._pooling import AdaptiveMean
from densecast.networks._self_attention import Scale, SelfAttentionBlock


class BetweenHead(FCNHead):
    """An FCN head of two convolutions with a block between them. The block's key is given by `name`."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        block: tuple[str, nn.Module],
        *,
        kernel: int,
        concat_input: bool,
        units: Units,
    ) -> None:
        super().__init__(
            in_channels,
            channels,
            classes,
            count=2,
            kernel=kernel,
            concat_input=concat_input,
            units=units,
        )
        self._block = block[0]
        self.add_module(*block)

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, channels, h, w)."""
        features: Tensor = self.convs[1](getattr(self, self._block)(self.convs[0](x)))
        if self.conv_cat is not None:
            features = self.conv_cat(torch.cat([x, features], dim=1))
        return features


class _PositionAttention(SelfAttentionBlock):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__(
            channels,
            channels,
            inner,
            channels,
            plain=True,
            norm=None,
            activation="relu",
            scaled=False,
            with_out=False,
        )
        self.gamma = Scale()


class _ChannelAttention(nn.Module):
    """Attention between channels. Key: `gamma.scale`."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = Scale()

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        energy = torch.matmul(flat, flat.transpose(1, 2))
        weights = (energy.amax(dim=-1, keepdim=True) - energy).softmax(dim=-1)
        out: Tensor = self.gamma(torch.matmul(weights, flat).reshape(x.shape)) + x
        return out


class DualAttentionHead(nn.Module):
    """Attention between positions beside attention between channels (Fu et al. 2019, arXiv:1809.02983)."""

    def __init__(self, in_channels: int, channels: int, classes: int, inner: int, units: Units) -> None:
        super().__init__()

        def conv(width: int) -> ConvModule:
            return units.conv(width, channels, 3)

        self.pam_in_conv, self.cam_in_conv = conv(in_channels), conv(in_channels)
        self.pam, self.cam = _PositionAttention(channels, inner), _ChannelAttention()
        self.pam_out_conv, self.cam_out_conv = conv(channels), conv(channels)
        # Only training looks at the two by themselves; their weights are in the files.
        self.pam_conv_seg, self.cam_conv_seg = nn.Conv2d(channels, classes, 1), nn.Conv2d(channels, classes, 1)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        positions = self.pam_in_conv(x)
        positions = self.pam_out_conv(self.pam.gamma(self.pam(positions, positions)) + positions)
        logits: Tensor = self.conv_seg(positions + self.cam_out_conv(self.cam(self.cam_in_conv(x))))
        return logits


class _Relation(SelfAttentionBlock):
    """Attention inside of one group of positions. Key beside the block's: `output_project`."""

    def __init__(self, channels: int, inner: int, units: Units) -> None:
        super().__init__(
            channels,
            channels,
            inner,
            channels,
            convs=2,
            norm=units.norm,
            activation=units.activation,
            scaled=True,
            with_out=False,
        )
        self.output_project = units.conv(channels, channels, 1)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        out: Tensor = self.output_project(super().forward(queries, keys))
        return out


class InterlacedHead(nn.Module):
    """Attention over far positions, then over near ones (Huang et al. 2019, arXiv:1907.12273)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        inner: int,
        factor_hw: tuple[int, int],
        units: Units,
    ) -> None:
        super().__init__()
        self.factor_hw = factor_hw
        self.in_conv = units.conv(in_channels, channels, 3)
        self.global_relation = _Relation(channels, inner, units)
        self.local_relation = _Relation(channels, inner, units)
        self.out_conv = units.conv(2 * channels, channels, 1)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        x = residual = self.in_conv(x)
        images, channels, height, width = x.shape
        near_h, near_w = self.factor_hw
        far_h, far_w = (height + near_h - 1) // near_h, (width + near_w - 1) // near_w
        pad_h, pad_w = far_h * near_h - height, far_w * near_w - width
        top, left = pad_h // 2, pad_w // 2
        x = F.pad(x, (left, pad_w - left, top, pad_h - top))
        x = x.reshape(images, channels, far_h, near_h, far_w, near_w).permute(0, 3, 5, 1, 2, 4)
        x = x.reshape(-1, channels, far_h, far_w)
        x = self.global_relation(x, x)
        x = x.reshape(images, near_h, near_w, channels, far_h, far_w).permute(0, 4, 5, 3, 1, 2)
        x = x.reshape(-1, channels, near_h, near_w)
        x = self.local_relation(x, x)
        x = x.reshape(images, far_h, far_w, channels, near_h, near_w).permute(0, 3, 1, 4, 2, 5)
        x = x.reshape(images, channels, far_h * near_h, far_w * near_w)
        x = x[:, :, top : top + height, left : left + width]
        logits: Tensor = self.conv_seg(self.out_conv(torch.cat([x, residual], dim=1)))
        return logits


class _PooledPositions(nn.Module):
    """Means over several grids, one after the other: (N, C, h, w) -> (N, C, bins)."""

    def __init__(self, scales: Sequence[int]) -> None:
        super().__init__()
        self._means = [AdaptiveMean(scale) for scale in scales]

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([mean(x).flatten(2) for mean in self._means], dim=2)


class _Asymmetric(nn.Module):
    """Attention to pooled positions, joined to the map. Keys: `stages.0`, `bottleneck`."""

    def __init__(
        self,
        low: int,
        high: int,
        inner: int,
        out_channels: int,
        scales: Sequence[int],
        shared: bool,
        units: Units,
    ) -> None:
        super().__init__()
        attention = SelfAttentionBlock(
            low,
            high,
            inner,
            high,
            shared=shared,
            norm=units.norm,
            activation=units.activation,
            scaled=True,
            with_out=True,
            pool_keys=_PooledPositions(scales),
        )
        self.stages = nn.ModuleList([attention])
        self.bottleneck = units.conv(2 * high, out_channels, 1, activation=units.activation if shared else "none")

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        out: Tensor = self.bottleneck(torch.cat([self.stages[0](high, low), high], dim=1))
        return out


class AsymmetricHead(nn.Module):
    """Asymmetric non-local blocks (Zhu et al. 2019, arXiv:1908.07678). Keys: `fusion`, `bottleneck`, `context`."""

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        classes: int,
        inner: int,
        scales: Sequence[int],
        units: Units,
    ) -> None:
        super().__init__()
        low, high = in_channels
        self.fusion = _Asymmetric(low, high, inner, high, scales, False, units)
        self.bottleneck = units.conv(high, channels, 3)
        self.context = _Asymmetric(channels, channels, inner, channels, scales, True, units)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """An early and a late map -> logits (N, classes, h, w) of the late one."""
        low, high = maps
        x = self.bottleneck(self.fusion(high, low))
        logits: Tensor = self.conv_seg(self.context(x, x))
        return logits
