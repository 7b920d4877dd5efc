"""Wraps torch modules so that they return their outputs selected, named, or as an expression of TorchScript."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


def selecting(network: nn.Module, names: tuple[str, ...], selected: tuple[str, ...]) -> nn.Module:
    """Wrap the module so that it returns only the `selected` ones of its outputs, as a tuple."""
    import torch

    from densecast.networks._outputs import named_outputs

    class Selecting(torch.nn.Module):
        """Wrapper that returns a selection of the network's outputs, in a given order."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            """(N, 3, H, W) of each input -> the outputs."""
            result = named_outputs(self.network(*images), names)
            return tuple(result[name] for name in selected)

    return Selecting().eval()


def naming(selecting: nn.Module, names: Sequence[str]) -> nn.Module:
    """Wrap the module so that its tuple is named; a module that returns a tensor is unchanged."""
    import torch

    class Naming(torch.nn.Module):
        """(N, 3, H, W) of each input -> a tensor, or a dict of several."""

        def __init__(self) -> None:
            super().__init__()
            self.network = selecting

        def forward(self, *images: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
            result = self.network(*images)
            return result if isinstance(result, torch.Tensor) else dict(zip(names, result, strict=True))

    return Naming().eval()


def channels_last(network: nn.Module) -> nn.Module:
    """Wrap a module of (N, H, W, C) so that it takes (N, C, H, W)."""
    import torch

    if isinstance(network, torch.jit.ScriptModule):
        return script_around(network, "results", 1, "{}.permute(0, 2, 3, 1).contiguous()")

    class ChannelsLast(torch.nn.Module):
        """Wrapper that turns the image."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> object:
            """(N, C, H, W) -> what the network returns."""
            return self.network(image.permute(0, 2, 3, 1).contiguous())

    return ChannelsLast().eval()


def channels_first(network: nn.Module) -> nn.Module:
    """Wrap a module that returns (N, h, w, C) so that it returns (N, C, h, w)."""
    import torch

    if isinstance(network, torch.jit.ScriptModule):
        return script_around(network, "results.permute(0, 3, 1, 2).contiguous()", 1)

    class ChannelsFirst(torch.nn.Module):
        """Wrapper that turns the only output."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            """(N, C, H, W) -> (N, C, h, w)."""
            from densecast.networks._outputs import named_outputs

            return next(iter(named_outputs(self.network(image)).values())).permute(0, 3, 1, 2).contiguous()

    return ChannelsFirst().eval()


def with_channels(network: nn.Module) -> nn.Module:
    """Wrap a module that returns (N, h, w) so that it returns (N, 1, h, w)."""
    import torch

    if isinstance(network, torch.jit.ScriptModule):
        return script_around(network, "results.unsqueeze(1)", 1)

    class WithChannels(torch.nn.Module):
        """Wrapper that gives the only output a channel axis."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            """(N, C, H, W) -> (N, 1, h, w)."""
            from densecast.networks._outputs import named_outputs

            return next(iter(named_outputs(self.network(image)).values())).unsqueeze(1)

    return WithChannels().eval()


def script_around(network: nn.Module, result: str, inputs: int, argument: str = "{}") -> torch.jit.ScriptModule:
    """TorchScript wrapper that returns `result`, an expression of `results`, the return value of `network`.

    `argument` makes what the network takes of each input.
    """
    import torch

    class Around(torch.jit.ScriptModule):
        """Wrapper whose contents become part of the script."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

    script = Around()
    names = [f"x{index}" for index in range(inputs)]
    passed = ", ".join(argument.format(name) for name in names)
    script.define(
        f"def forward(self, {', '.join(names)}):\n    results = self.network({passed})\n    return {result}\n"
    )
    script.eval()
    return script
