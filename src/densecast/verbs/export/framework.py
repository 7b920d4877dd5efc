"""A torch network as a function of named arrays, in float32 or exactly, and with some of its outputs alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from densecast.spec.tensor import Feeds
from densecast.verbs.export import wrappers

if TYPE_CHECKING:
    from torch import nn


class Framework:
    """The network in torch as a function of named arrays; `is_exact` computes in float64."""

    def __init__(
        self, network: nn.Module, names: Sequence[str], only: Sequence[str] | None = None, *, is_exact: bool = False
    ) -> None:
        self.names, self._network, self._only, self._is_exact = tuple(names), network, only, is_exact
        self.is_single = self._is_unnamed = False
        self._own: tuple[str, ...] = ()
        self._accessors: tuple[str, ...] = ()
        self._inputs = 1

    def __call__(self, feeds: Feeds) -> Feeds:
        """Run the module: all outputs in its order, or those of `only`."""
        import torch

        from densecast.networks._outputs import accessors, is_unnamed, named_outputs

        self._inputs = len(feeds)
        # Copies, as a network may work in place on what it is given.
        tensors = [torch.from_numpy(array.copy()) for array in feeds.values()]
        # A module is converted in place.
        network = copy.deepcopy(self._network).double() if self._is_exact else self._network
        with torch.inference_mode():
            result = network(*(each.double() for each in tensors) if self._is_exact else tensors)
        named = named_outputs(result, self.names)
        self.is_single, self._is_unnamed, self._own = isinstance(result, torch.Tensor), is_unnamed(result), tuple(named)
        self._accessors = accessors(result)
        return {name: named[name].numpy() for name in (self._only or named)}

    def selected(self, names: Sequence[str]) -> nn.Module:
        """A module that returns only these outputs, as a tuple."""
        import torch

        if isinstance(self._network, torch.jit.ScriptModule):
            results = ", ".join(f"results{self._accessors[self._own.index(name)]}" for name in names)
            return wrappers.script_around(self._network, f"({results},)", self._inputs)
        return wrappers.selecting(self._network, self.names, tuple(names))

    def places(self, names: Sequence[str]) -> tuple[int, ...] | None:
        """Positions of these outputs in the sequence that the network returns; None if names or order identify them."""
        has_names = all(name == f"output_{index}" for index, name in enumerate(self._own))
        if not self._is_unnamed or has_names or tuple(names) == self._own:
            return None
        return tuple(self._own.index(name) for name in names)
