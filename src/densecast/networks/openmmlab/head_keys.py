"""What all heads share: the keys of their channels and maps, and what makes a head of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import USUAL, Units
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import activation_of, norm_of, plain_convolution

Select = Callable[[Sequence[Tensor]], Any]
"""What a head takes of the backbone's maps: one, several, or several joined."""


@dataclass(frozen=True, slots=True)
class Common:
    """The keys that all heads share; `classes` are the planes of the logits, `named` the classes that they decide."""

    in_channels: tuple[int, ...]
    channels: int
    classes: int
    named: int
    units: Units
    align_corners: bool
    index: tuple[int, ...]
    transform: str | None
    select: Select

    @property
    def width(self) -> int:
        """Channels of the one map that most heads take."""
        return sum(self.in_channels) if self.transform == "resize_concat" else self.in_channels[0]

    def of_one(self, kind: Callable[..., nn.Module], /, *own: Any, **others: Any) -> nn.Module:
        """A head of this kind that takes one map, with arguments of its own."""
        return kind(self.width, self.channels, self.classes, *own, units=self.units, **others)

    def of_all(self, kind: Callable[..., nn.Module], /, *own: Any, **others: Any) -> nn.Module:
        """A head of this kind that takes several maps, with arguments of its own."""
        return kind(self.in_channels, self.channels, self.classes, *own, units=self.units, **others)


def common(keys: Keys, transform: str | None = None, *, has_units: bool = True) -> Common:
    """Read what all heads share; `transform` is the one that this kind of head always has.

    Without `has_units` the kind reads normalisation and activation by itself.
    """
    channels = keys.integer("channels")
    classes = keys.integer("num_classes", most=1 << 14)
    outputs = keys.take("out_channels", None)
    if outputs is not None and outputs not in (1, classes):
        raise keys.wrong("out_channels", outputs, f"1 or num_classes ({classes})")
    keys.ignore("dropout_ratio", "loss_decode", "ignore_index", "sampler", "init_cfg", "threshold")
    plain_convolution(keys)
    align = keys.flag("align_corners", False)
    given = keys.take("input_transform", transform)
    if given not in (None, "resize_concat", "multiple_select"):
        raise keys.unknown("input_transform", given, ("resize_concat", "multiple_select"))
    in_channels = keys.integers("in_channels", None)
    index = keys.integers("in_index", -1, least=-16)
    if given is not None and len(in_channels) != len(index):
        raise keys.wrong("in_index", index, f"as many as in_channels ({len(in_channels)})")
    return Common(
        in_channels,
        channels,
        classes if outputs is None else outputs,
        classes,
        Units(norm_of(keys), activation_of(keys)) if has_units else USUAL,
        align,
        index,
        given,
        selection(index, given, align),
    )


def selection(index: Sequence[int], transform: str | None, align_corners: bool) -> Select:
    """What takes these maps of all, and joins them where the transform says so."""

    def select(maps: Sequence[Tensor]) -> Any:
        chosen = [maps[each] for each in index]
        if transform is None:
            return chosen[0]
        if transform == "multiple_select":
            return chosen
        size = chosen[0].shape[-2:]
        raised = [F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners) for x in chosen]
        return torch.cat(raised, dim=1)

    return select
