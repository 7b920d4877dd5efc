"""Heads with attention: non-local, global, dual, interlaced, asymmetric, expectation-maximising, encoding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import Activation, ConvModule, Norm
from densecast.networks._fcn_head import FCNHead
from densecast.networks._pooling import AdaptiveMean
from densecast.networks._pyramid_heads import resized
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
        norm: Norm | None,
        activation: Activation,
    ) -> None:
        super().__init__(
            in_channels,
            channels,
            classes,
            count=2,
            kernel=kernel,
            concat_input=concat_input,
            norm=norm,
            activation=activation,
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
            channels, channels, inner, channels, norm=None, activation="relu", scaled=False, with_out=False
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

    def __init__(
        self, in_channels: int, channels: int, classes: int, inner: int, norm: Norm | None, activation: Activation
    ) -> None:
        super().__init__()

        def conv(width: int) -> ConvModule:
            return ConvModule(width, channels, 3, norm=norm, activation=activation)

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

    def __init__(self, channels: int, inner: int, norm: Norm | None, activation: Activation) -> None:
        super().__init__(
            channels,
            channels,
            inner,
            channels,
            convs=2,
            norm=norm,
            activation=activation,
            scaled=True,
            with_out=False,
        )
        self.output_project = ConvModule(channels, channels, 1, norm=norm, activation=activation)

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
        norm: Norm | None,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.factor_hw = factor_hw
        self.in_conv = ConvModule(in_channels, channels, 3, norm=norm, activation=activation)
        self.global_relation = _Relation(channels, inner, norm, activation)
        self.local_relation = _Relation(channels, inner, norm, activation)
        self.out_conv = ConvModule(2 * channels, channels, 1, norm=norm, activation=activation)
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
        norm: Norm | None,
        activation: Activation,
    ) -> None:
        super().__init__()
        attention = SelfAttentionBlock(
            low,
            high,
            inner,
            high,
            shared=shared,
            norm=norm,
            activation=activation,
            scaled=True,
            with_out=True,
            pool_keys=_PooledPositions(scales),
        )
        self.stages = nn.ModuleList([attention])
        self.bottleneck = ConvModule(2 * high, out_channels, 1, norm=norm, activation=activation if shared else "none")

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
        norm: Norm | None,
        activation: Activation,
    ) -> None:
        super().__init__()
        low, high = in_channels
        self.fusion = _Asymmetric(low, high, inner, high, scales, False, norm, activation)
        self.bottleneck = ConvModule(high, channels, 3, norm=norm, activation=activation)
        self.context = _Asymmetric(channels, channels, inner, channels, scales, True, norm, activation)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """An early and a late map -> logits (N, classes, h, w) of the late one."""
        low, high = maps
        x = self.bottleneck(self.fusion(high, low))
        logits: Tensor = self.conv_seg(self.context(x, x))
        return logits


class _Bases(nn.Module):
    """Expectation and maximisation of a few bases. Key: `bases` (1, channels, count)."""

    bases: Tensor

    def __init__(self, channels: int, count: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.register_buffer("bases", torch.zeros(1, channels, count))

    def forward(self, x: Tensor) -> Tensor:
        flat, bases = x.flatten(2), self.bases
        weights = flat
        for _ in range(self.steps):
            weights = torch.matmul(flat.transpose(1, 2), bases).softmax(dim=2)
            shares = weights / weights.sum(dim=1, keepdim=True).clamp_min(1e-12)
            bases = torch.matmul(flat, shares)
            bases = bases / bases.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
        return torch.matmul(bases, weights.transpose(1, 2)).reshape(x.shape)


class ExpectationHead(nn.Module):
    """Expectation-maximisation attention (Li et al. 2019, arXiv:1907.13426)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        inner: int,
        bases: int,
        steps: int,
        concat_input: bool,
        norm: Norm | None,
        activation: Activation,
    ) -> None:
        super().__init__()

        def conv(width: int, out: int, kernel: int) -> ConvModule:
            return ConvModule(width, out, kernel, norm=norm, activation=activation)

        self.ema_in_conv = conv(in_channels, inner, 3)
        self.ema_mid_conv = ConvModule(inner, inner, 1, norm=None, activation="none")
        self.ema_module = _Bases(inner, bases, steps)
        self.ema_out_conv = ConvModule(inner, inner, 1, norm=norm, activation="none")
        self.bottleneck = conv(inner, channels, 3)
        self.conv_cat = conv(in_channels + channels, channels, 3) if concat_input else None
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        identity = self.ema_in_conv(x)
        found = self.ema_out_conv(F.relu(self.ema_module(self.ema_mid_conv(identity))))
        out = self.bottleneck(F.relu(identity + found))
        if self.conv_cat is not None:
            out = self.conv_cat(torch.cat([x, out], dim=1))
        logits: Tensor = self.conv_seg(out)
        return logits


class _Encoding(nn.Module):
    """Residuals to learned codewords, softly assigned and summed. Keys: `codewords`, `scale`."""

    def __init__(self, channels: int, codes: int) -> None:
        super().__init__()
        self.codewords = nn.Parameter(torch.zeros(codes, channels))
        self.scale = nn.Parameter(torch.zeros(codes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, codes, channels)."""
        flat = x.flatten(2).transpose(1, 2)
        # |x - c|^2 as |x|^2 - 2xc + |c|^2: the differences themselves are codes times as large as the map.
        squares = flat.square().sum(dim=2, keepdim=True) + self.codewords.square().sum(dim=1)
        distances = squares - 2 * torch.matmul(flat, self.codewords.transpose(0, 1))
        weights = (self.scale * distances).softmax(dim=2)
        return torch.matmul(weights.transpose(1, 2), flat) - weights.sum(dim=1).unsqueeze(2) * self.codewords


class _EncodingModule(nn.Module):
    """Channels weighed by an encoding of the whole map. Keys: `encoding_project`, `encoding.{0,1}`, `fc.0`."""

    def __init__(self, channels: int, codes: int, norm: Norm | None, activation: Activation) -> None:
        super().__init__()
        self.encoding_project = ConvModule(channels, channels, 1, norm=norm, activation=activation)
        self.encoding = nn.Sequential(_Encoding(channels, codes), nn.BatchNorm1d(codes), nn.ReLU())
        self.fc = nn.Sequential(nn.Linear(channels, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc(self.encoding(self.encoding_project(x)).mean(dim=1))
        return F.relu(x + x * gate.unsqueeze(2).unsqueeze(3))


class EncodingHead(nn.Module):
    """Context encoding (Zhang et al. 2018, arXiv:1803.08904); with `lateral` earlier maps are joined first."""

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        classes: int,
        codes: int,
        *,
        lateral: bool,
        se_loss: bool,
        norm: Norm | None,
        activation: Activation,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.align_corners, self.lateral = align_corners, lateral

        def conv(width: int, kernel: int) -> ConvModule:
            return ConvModule(width, channels, kernel, norm=norm, activation=activation)

        self.bottleneck = conv(in_channels[-1], 3)
        if lateral:
            self.lateral_convs = nn.ModuleList(conv(width, 1) for width in in_channels[:-1])
            self.fusion = conv(len(in_channels) * channels, 3)
        self.enc_module = _EncodingModule(channels, codes, norm, activation)
        if se_loss:
            self.se_layer = nn.Linear(channels, classes)  # of training only; its weights are in the files
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps, the last of which counts -> logits (N, classes, h, w) of it."""
        x = self.bottleneck(maps[-1])
        if self.lateral:
            sides = [
                resized(conv(each), x, self.align_corners)
                for conv, each in zip(self.lateral_convs, maps[:-1], strict=True)
            ]
            x = self.fusion(torch.cat([x, *sides], dim=1))
        logits: Tensor = self.conv_seg(self.enc_module(x))
        return logits
