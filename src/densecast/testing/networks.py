"""Checks of a network: its options, its weight names, and a forward pass."""

from __future__ import annotations

import dataclasses
from typing import Any

from densecast.networks._base import Network
from densecast.testing._require import is_frozen, require


def check_network(network: Network[Any], options: Any = None, *, size_hw: tuple[int, int] | None = None) -> None:
    """Check a network's options, and run it with those given (its defaults without) on two images of `size_hw`.

    Without `size_hw`, the sides are the least multiple of `input_multiple` from 64 pixels on. Needs torch.

    Raises:
        AssertionError: says in a sentence what is not as it has to be.
    """
    import torch

    require(isinstance(network, Network), f"{network!r} is no densecast.networks._base.Network.")
    kind = network.options_type
    require(is_frozen(kind), f"{kind.__name__} has to be a frozen dataclass.")
    without = [field.name for field in dataclasses.fields(kind) if _has_no_default(field)]
    require(not without, f"{kind.__name__}: {', '.join(without)} have no default.")
    require(network.input_multiple >= 1, f"input_multiple is {network.input_multiple}; it has to be at least 1.")
    chosen = kind() if options is None else options
    torch.manual_seed(0)
    module = network.build(chosen).eval()
    state = module.state_dict()
    require(set(network.clean(state)) == set(state), "clean drops tensors that are the network's own.")
    if network.explain_mismatch is not None:
        reason = network.explain_mismatch(state, chosen)
        require(reason is None, f"the network's own weights are explained to be another's: {reason}")
    if network.options_from_state is not None:
        proved = network.options_from_state(state, chosen)
        require(proved == chosen, f"the network's own weights prove the options {proved}, not {chosen}.")
    side = -(-64 // network.input_multiple) * network.input_multiple
    images = torch.rand(2, 3, *(size_hw or (side, side)))
    with torch.inference_mode():
        together, first = module(images), module(images[:1])
    for whole, alone in zip(_tensors(together), _tensors(first), strict=True):
        require(bool(torch.isfinite(whole).all()), "an output of a fresh network is not finite.")
        require(len(whole) == 2 and len(alone) == 1, f"two images give outputs of {tuple(whole.shape)}.")
        require(
            torch.allclose(whole[:1], alone, rtol=1e-3, atol=1e-4),
            "an image's output depends on the other images of its batch.",
        )


def _has_no_default(field: Any) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _tensors(output: Any) -> list[Any]:
    """The tensors of a network's output: one, or a dict, dataclass or tuple of several."""
    if isinstance(output, dict):
        return list(output.values())
    if isinstance(output, (tuple, list)):
        return list(output)
    if dataclasses.is_dataclass(output):
        return [getattr(output, field.name) for field in dataclasses.fields(output)]
    return [output]
