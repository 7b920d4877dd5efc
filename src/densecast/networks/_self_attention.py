"""Attention between positions of maps, also as non-local blocks (Wang et al. 2018, arXiv:1711.07971)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from densecast.networks._conv import Activation, ConvModule, Norm


class Scale(nn.Module):
    """A learned factor. Key: `scale`."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        return x * self.scale


class SelfAttentionBlock(nn.Module):
    """Each query position takes the weighted mean of all key positions.

    Keys: `key_project`, `query_project`, `value_project`, `out_project` where there is one. `convs` of keys and queries
    have normalisation and activation unless they are `plain`; values and output never have.
    """

    def __init__(
        self,
        key_in: int,
        query_in: int,
        channels: int,
        out_channels: int,
        *,
        shared: bool = False,
        plain: bool = False,
        convs: int = 1,
        norm: Norm | None,
        activation: Activation,
        scaled: bool,
        with_out: bool,
        pool_keys: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()

        def project(width: int) -> nn.Module:
            if plain:
                return nn.Conv2d(width, channels, 1)
            parts = [
                ConvModule(width if index == 0 else channels, channels, 1, norm=norm, activation=activation)
                for index in range(convs)
            ]
            return parts[0] if convs == 1 else nn.Sequential(*parts)

        self.key_project = project(key_in)
        # One module under both names where they are shared, as the published files have it.
        self.query_project = self.key_project if shared else project(query_in)
        self.value_project = nn.Conv2d(key_in, channels if with_out else out_channels, 1)
        self.out_project = nn.Conv2d(channels, out_channels, 1) if with_out else None
        self._factor = channels**-0.5 if scaled else 1.0
        self._pool_keys = pool_keys

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(N, query_in, h, w) and (N, key_in, h', w') -> (N, out_channels, h, w)."""
        query = self.query_project(queries)
        key, value = self.key_project(keys), self.value_project(keys)
        if self._pool_keys is not None:
            key, value = self._pool_keys(key), self._pool_keys(value)
        likeness = torch.matmul(query.flatten(2).transpose(1, 2), key.flatten(2)) * self._factor
        context = torch.matmul(value.flatten(2), likeness.softmax(dim=-1).transpose(1, 2))
        context = context.reshape(queries.shape[0], -1, queries.shape[2], queries.shape[3])
        return context if self.out_project is None else self.out_project(context)


class NonLocal(nn.Module):
    """Embedded Gaussian attention added to its input. Keys: `g`, `theta`, `phi`, `conv_out`.

    With `temperature` it is the disentangled form (Yin et al. 2020, arXiv:2006.06668): centred pairs, and a mask of
    single positions. Key: `conv_mask`.
    """

    def __init__(
        self, channels: int, reduction: int, scaled: bool, norm: Norm | None, temperature: float | None = None
    ) -> None:
        super().__init__()
        inner = max(channels // reduction, 1)
        plain: dict[str, Any] = {"norm": None, "activation": "none"}
        self.g = ConvModule(channels, inner, 1, **plain)
        self.theta = ConvModule(channels, inner, 1, **plain)
        self.phi = ConvModule(channels, inner, 1, **plain)
        self.conv_out = ConvModule(inner, channels, 1, norm=norm, activation="none")
        self._factor = inner**-0.5 if scaled else 1.0
        self._temperature = temperature
        if temperature is not None:
            self.conv_mask = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same shape."""
        value = self.g(x).flatten(2)
        theta, phi = self.theta(x).flatten(2).transpose(1, 2), self.phi(x).flatten(2)
        if self._temperature is not None:
            theta = theta - theta.mean(dim=1, keepdim=True)
            phi = phi - phi.mean(dim=2, keepdim=True)
        pairs = torch.matmul(theta, phi) * self._factor
        if self._temperature is not None:
            pairs = pairs / self._temperature
        found = torch.matmul(value, pairs.softmax(dim=-1).transpose(1, 2))
        if self._temperature is not None:
            mask = self.conv_mask(x).flatten(2).softmax(dim=-1)
            found = found + torch.matmul(value, mask.transpose(1, 2))
        found = found.reshape(x.shape[0], -1, x.shape[2], x.shape[3])
        return x + self.conv_out(found)  # type: ignore[no-any-return]


class GlobalContext(nn.Module):
    """One attended mean of all positions, transformed and added (Cao et al. 2019, arXiv:1904.11492).

    Keys: `conv_mask`, `channel_add_conv.{0,1,3}`.
    """

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        inner = int(channels * ratio)
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(channels, inner, 1), nn.LayerNorm([inner, 1, 1]), nn.ReLU(), nn.Conv2d(inner, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same shape."""
        weights = self.conv_mask(x).flatten(2).softmax(dim=2).transpose(1, 2)
        context = torch.matmul(x.flatten(2), weights).unsqueeze(3)
        return x + self.channel_add_conv(context)  # type: ignore[no-any-return]
