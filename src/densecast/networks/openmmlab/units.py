"""Normalisation, activation and convolution as configurations name them."""

from __future__ import annotations

from typing import Any

from torch import nn

from densecast.networks._conv import Activation, Norm
from densecast.networks.openmmlab.keys import Keys

_BATCH_NORMS = ("BN", "BN2d", "SyncBN", "MMSyncBN", "NaiveSyncBN")
_ACTIVATIONS: dict[str, Activation] = {
    "ReLU": "relu",
    "ReLU6": "relu6",
    "PReLU": "prelu",
    "LeakyReLU": "leaky_relu",
    "ELU": "elu",
    "GELU": "gelu",
    "Sigmoid": "sigmoid",
    "HSwish": "hswish",
    "Swish": "swish",
    "SiLU": "swish",
}
BN: dict[str, Any] = {"type": "BN"}
RELU: dict[str, Any] = {"type": "ReLU"}


def norm_of(keys: Keys, default: Any = None, name: str = "norm_cfg") -> Norm | None:
    """The normalisation of a table's `norm_cfg`; None where there is none."""
    value = keys.take(name, default)
    if value is None:
        return None
    table = Keys(value, f"{keys.where}.{name}")
    kind = table.word("type")
    table.ignore("requires_grad", "momentum")
    if kind in _BATCH_NORMS:
        eps = table.number("eps", 1e-5)
        table.only("affine", True)
        table.only("track_running_stats", True)
        table.done()
        return Norm("bn", lambda width: nn.BatchNorm2d(width, eps=eps))
    if kind == "GN":
        groups, eps = table.integer("num_groups"), table.number("eps", 1e-5)
        table.done()
        return Norm("gn", lambda width: nn.GroupNorm(groups, width, eps=eps))
    if kind in ("IN", "IN2d"):
        eps, affine = table.number("eps", 1e-5), table.flag("affine", False)
        table.only("track_running_stats", False)
        table.done()
        return Norm("in", lambda width: nn.InstanceNorm2d(width, eps=eps, affine=affine))
    raise table.unknown("type", kind, (*_BATCH_NORMS, "GN", "IN"))


def batch_norm_of(keys: Keys, default: Any = None, name: str = "norm_cfg") -> Norm:
    """The same, where there has to be one."""
    norm = norm_of(keys, BN if default is None else default, name)
    if norm is None:
        raise keys.wrong(name, None, "a normalisation")
    return norm


def activation_of(keys: Keys, default: Any = None, name: str = "act_cfg") -> Activation:
    """The activation of a table's `act_cfg`; "none" where it says None."""
    value = keys.take(name, RELU if default is None else default)
    if value is None:
        return "none"
    table = Keys(value, f"{keys.where}.{name}")
    kind = table.word("type")
    if kind not in _ACTIVATIONS:
        raise table.unknown("type", kind, _ACTIVATIONS)
    table.ignore("inplace")
    if kind == "LeakyReLU":
        table.only("negative_slope", 0.01)
    if kind == "PReLU":
        table.ignore("init")
    table.done()
    return _ACTIVATIONS[kind]


def optional_activation_of(keys: Keys, name: str = "act_cfg") -> Activation:
    """The same where a table without one has no activation."""
    value = keys.take(name, None)
    return "none" if value is None else activation_of(Keys({name: value}, keys.where), name=name)


def shared_activation_of(keys: Keys, default: Any = None, name: str = "act_cfg") -> Activation:
    """The same, of parts that need one, and have it once for all of their layers: without weights of its own.

    Raises:
        BadConfigError: none, or one with weights.
    """
    made = activation_of(keys, default, name)
    if made in ("none", "prelu"):
        raise keys.wrong(name, made, "an activation without weights")
    return made


def plain_convolution(keys: Keys) -> None:
    """Check that convolutions are the usual ones."""
    value = keys.take("conv_cfg", None)
    if value is not None:
        table = Keys(value, f"{keys.where}.conv_cfg")
        table.only("type", "Conv2d", "Conv")
        table.done()
    keys.only("dcn", None)


TRAINING = ("init_cfg", "pretrained", "with_cp", "norm_eval", "frozen_stages", "zero_init_residual")
"""Keys that only training reads."""


def layer_norm_of(keys: Keys, eps: float, name: str = "norm_cfg") -> float:
    """The epsilon of a transformer's layer normalisation; `eps` where no `norm_cfg` is given.

    Raises:
        BadConfigError: another kind of normalisation.
    """
    value = keys.take(name, None)
    if value is None:
        return eps
    table = Keys(value, f"{keys.where}.{name}")
    table.only("type", "LN")
    table.ignore("requires_grad")
    own = table.number("eps", 1e-5)
    table.done()
    return own
