"""Brings the `type` names of a configuration to their plain form: without scopes, import paths or torch's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Packages whose parts have names of their own here, whatever module of theirs they are in.
_OWN = ("mmcv", "mmengine", "mmpose", "mmseg", "torch")
# Packages whose parts of one name differ from each other: their name stays before it.
_FOREIGN = ("mmcls", "mmdet", "mmpretrain")
# Configurations that were written as Python name torch's own classes.
_OF_TORCH = {
    "BatchNorm2d": "BN",
    "GroupNorm": "GN",
    "Hardswish": "HSwish",
    "InstanceNorm2d": "IN",
    "LayerNorm": "LN",
    "SyncBatchNorm": "SyncBN",
}
# Where MMEngine looks a type up, and how a file changes its base: no argument of anything that is built.
_OF_READING = ("_delete_", "_scope_")


def bare(name: str) -> str:
    """The plain name of a type.

    >>> bare("mmseg.models.backbones.resnet.ResNetV1c"), bare("mmcls.ConvNeXt"), bare("torch.nn.SyncBatchNorm")
    ('ResNetV1c', 'mmcls.ConvNeXt', 'SyncBN')
    """
    first, _, rest = name.partition(".")
    last = rest.rpartition(".")[2]
    if not last:
        return name
    if first == "torch":
        return _OF_TORCH.get(last, last)
    if first in _OWN:
        return last
    return f"{first}.{last}" if first in _FOREIGN else name


def plain(value: Any) -> Any:
    """The value with plain names of types wherever one stands; lists and tables are new."""
    if isinstance(value, Mapping):
        return {
            key: bare(each) if key == "type" and isinstance(each, str) else plain(each)
            for key, each in value.items()
            if key not in _OF_READING
        }
    if isinstance(value, (list, tuple)):
        return type(value)(plain(each) for each in value) if type(value) in (list, tuple) else list(map(plain, value))
    return value
