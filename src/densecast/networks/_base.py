"""What defines a network: how its PyTorch module is built from options, and how published weights are loaded into it.

A network is an object, found like every plug-in: `NETWORK` of `networks/<name>.py`, an entry point in
`densecast.networks`, or `package.module:Name`, where `Name` is a `Network`. Nothing here imports torch: networks are
listed and named without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from densecast.plugins import PluginKind

if TYPE_CHECKING:
    from torch import Tensor, nn

O = TypeVar("O")  # noqa: E741  options, as P, T and C elsewhere


def unchanged(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict as it is."""
    return dict(state)


@dataclass(frozen=True, slots=True)
class Network(Generic[O]):
    """A kind of network; `O` is the type of its options, a frozen dataclass all of whose fields have defaults.

    `build` makes the module, with fresh weights: (N, 3, H, W) -> a tensor, or a dict, dataclass or tuple of several.
    `clean` drops from a checkpoint what is not the network's own. H and W must be multiples of `input_multiple`.
    `explain_mismatch` says in a sentence which network a cleaned state dict belongs to instead, or None.
    `options_from_state` are the options that a cleaned state dict proves, and for all others those it is given.
    """

    options_type: type[O]
    build: Callable[[O], nn.Module]
    clean: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = unchanged
    input_multiple: int = 1
    explain_mismatch: Callable[[Mapping[str, Tensor], O], str | None] | None = None
    options_from_state: Callable[[Mapping[str, Tensor], O], O] | None = None


NETWORKS: PluginKind[Network[Any]] = PluginKind("networks", "network", "NETWORK", Network)
