"""Stacked hourglasses of associative embedding (Newell et al. 2017, arXiv:1611.05424)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from densecast.networks._conv import BATCH_NORM, ConvModule, Norm


class Hourglass(nn.Module):
    """A convolution beside the same at half the size, again and again. Keys: `up1`, `low1`, `low2`, `low3`."""

    def __init__(self, depth: int, widths: Sequence[int], norm: Norm) -> None:
        super().__init__()
        own, inner = widths[0], widths[1]
        self.up1 = ConvModule(own, own, 3, norm=norm)
        self.pool1 = nn.MaxPool2d(2, 2)
        self.low1 = ConvModule(own, inner, 3, norm=norm)
        # The original gives inner ones no normalisation of their own.
        self.low2 = (
            Hourglass(depth - 1, widths[1:], BATCH_NORM) if depth > 1 else ConvModule(inner, inner, 3, norm=norm)
        )
        self.low3 = ConvModule(inner, own, 3, norm=norm)
        self.up2 = nn.Upsample(scale_factor=2.0, mode="nearest")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same; H and W multiples of 2**depth."""
        beside: Tensor = self.up1(x)
        inner: Tensor = self.up2(self.low3(self.low2(self.low1(self.pool1(x)))))
        return beside + inner


class HourglassAENet(nn.Module):
    """A stem to a quarter of the size, then stacks that each give an output and refine what the next one sees.

    Keys: `stem.{i}`, `hourglass_modules.{s}`, `out_convs.{s}`, `remap_out_convs.{s}`, `remap_feature_convs.{s}`.
    """

    def __init__(
        self, stacks: int, depth: int, outputs: int, widths: Sequence[int], features: int, *, norm: Norm
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvModule(3, 64, 7, stride=2, norm=norm),
            ConvModule(64, 128, 3, norm=norm),
            nn.MaxPool2d(2, 2),
            ConvModule(128, 128, 3, norm=norm),
            ConvModule(128, features, 3, norm=norm),
        )

        def stack() -> nn.Sequential:
            after = [ConvModule(features, features, 3, norm=norm) for _ in range(2)]
            return nn.Sequential(Hourglass(depth, widths, norm), *after)

        def remap(width: int, to: int, kind: Norm | None) -> ConvModule:
            return ConvModule(width, to, 1, norm=kind, activation="none")

        self.hourglass_modules = nn.ModuleList(stack() for _ in range(stacks))
        self.out_convs = nn.ModuleList(remap(widths[0], outputs, None) for _ in range(stacks))
        self.remap_out_convs = nn.ModuleList(remap(outputs, features, norm) for _ in range(stacks - 1))
        self.remap_feature_convs = nn.ModuleList(remap(features, features, norm) for _ in range(stacks - 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> one (N, outputs, H / 4, W / 4) a stack."""
        x = self.stem(image)
        found: list[Tensor] = []
        for index, (stack, out) in enumerate(zip(self.hourglass_modules, self.out_convs, strict=True)):
            features = stack(x)
            found.append(out(features))
            if index < len(self.remap_out_convs):
                x = x + self.remap_out_convs[index](found[-1]) + self.remap_feature_convs[index](features)
        return found
