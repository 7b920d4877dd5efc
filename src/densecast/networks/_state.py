"""Cleans a published state dict and detects which network options it was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from torch import Tensor

from densecast.errors import BadCheckpointError, BadConfigError

O = TypeVar("O")  # noqa: E741  options, as in `_base`

ProvenOptions = dict[str, int | tuple[int, ...]]
"""Options that the tensors determine, by name. A 0, also inside a tuple, means "unknown"."""


def clean(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without the extra entries of published files.

    A leading `module.` (written by data-parallel training) is stripped, and `auxiliary_head.*` (a second head
    that only training runs) is dropped. Nothing else is touched.

    Raises:
        BadCheckpointError: a key is there with and without `module.`.
    """
    bare = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if len(bare) != len(state):
        twice = next(name for name in state if f"module.{name}" in state)
        raise BadCheckpointError(f"the state dict has both '{twice}' and 'module.{twice}'; keep one of them.")
    return {name: tensor for name, tensor in bare.items() if not name.startswith("auxiliary_head.")}


def count_children(state: Mapping[str, Tensor], prefix: str) -> int:
    """The number of numbered modules directly under `prefix`: `layer3.0.…` and `layer3.1.…` are 2."""
    children = {name[len(prefix) :].split(".", 1)[0] for name in state if name.startswith(prefix)}
    return sum(child.isdecimal() for child in children)


def out_channels(state: Mapping[str, Tensor], name: str) -> int:
    """Output channels of the convolution whose weight has that name; 0 if there is none."""
    weight = state.get(name)
    return weight.shape[0] if weight is not None and weight.ndim > 0 else 0


def explain_difference(proven: ProvenOptions, options: object) -> str | None:
    """Name each of the network's `options` that the weights contradict; None when they contradict none."""
    known = {name: value for name, value in proven.items() if (all(value) if isinstance(value, tuple) else value)}
    wrong = [name for name, value in known.items() if value != getattr(options, name)]
    if not wrong:
        return None
    of_weights = ", ".join(f"{name}={known[name]}" for name in wrong)
    of_network = ", ".join(f"{name}={getattr(options, name)}" for name in wrong)
    return f"these weights were made for {of_weights}; the requested network has {of_network}"


def with_proven(proven: ProvenOptions, base: O) -> O:
    """`base` with the options that the weights determine.

    Raises:
        BadCheckpointError: they determine what no network can have.
    """
    known: dict[str, Any] = {name: value for name, value in proven.items() if value}
    try:
        return replace(base, **known)  # type: ignore[type-var]
    except BadConfigError as error:
        raise BadCheckpointError(f"no network has the shape of these weights: {error}") from None
