"""Names the tensors that a module's forward returns: a tensor, mapping, dataclass or sequence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from densecast.errors import BadGraphError

ONLY = "output"
"""The name of an output that is alone and has none."""


def named_outputs(result: object, names: Sequence[str] = (ONLY,)) -> dict[str, Tensor]:
    """Every tensor in `result`, in its order: named by key in mappings and dataclasses, else by `names`.

    A single tensor takes the first of `names`. A sequence takes all of them where there are as many as tensors, and
    else `output_0`, `output_1`, … Tensors inside an inner container have its name first: `aux_0`. What is no tensor
    (a loss that is None) is left out.

    Raises:
        BadGraphError: there is no tensor in it.
    """
    tensors = dict(_flat(result, ""))
    if not tensors:
        raise BadGraphError(f"the network returns {type(result).__name__}, in which there is no tensor.")
    if isinstance(result, Tensor):
        return {names[0]: result}
    if not is_unnamed(result):
        return tensors
    own = names if len(names) == len(tensors) else [f"{ONLY}_{path}" for path in tensors]
    return dict(zip(own, tensors.values(), strict=True))


def accessors(result: object) -> tuple[str, ...]:
    """What stands behind `result` in an expression of Python or TorchScript for each of its tensors, in their order.

    As `['out']`, `[0]`, `.logits` or `['aux'][1]`; empty for a tensor itself.
    """
    return tuple(_reached(result, ""))


def module_outputs(result: object, names: Sequence[str]) -> dict[str, Tensor]:
    """The outputs with these names, in the names' order.

    Raises:
        BadGraphError: an output of that name is not there.
    """
    tensors = named_outputs(result)
    if isinstance(result, Tensor) or not set(names) <= set(tensors):
        # Names that somebody gave to what has none.
        tensors = named_outputs(result, names)
    missing = [name for name in names if name not in tensors]
    if missing:
        raise BadGraphError(f"the network returns {', '.join(tensors)}, and no {missing[0]}.")
    return {name: tensors[name] for name in names}


@runtime_checkable
class _NamedTuple(Protocol):
    """What `collections.namedtuple` and `typing.NamedTuple` make."""

    _fields: tuple[str, ...]


def is_unnamed(result: object) -> bool:
    """Whether this is a plain sequence, whose items have positions and no names."""
    return isinstance(result, (tuple, list)) and not isinstance(result, _NamedTuple)


def _flat(value: object, path: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor with its path of keys, fields and positions."""
    if isinstance(value, Tensor):
        yield path, value
        return
    for key, item, _ in _items(value):
        yield from _flat(item, f"{path}_{key}" if path else str(key))


def _reached(value: object, expression: str) -> Iterator[str]:
    """The expression of every tensor, in the order of `_flat`."""
    if isinstance(value, Tensor):
        yield expression
        return
    for _, item, accessor in _items(value):
        yield from _reached(item, expression + accessor)


def _items(value: object) -> list[tuple[object, object, str]]:
    """Key, item and accessor of everything directly in a container; nothing of what is none."""
    if isinstance(value, Mapping):
        return [(key, item, f"[{key!r}]") for key, item in value.items()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return [(name, getattr(value, name), f".{name}") for name in names]
    if isinstance(value, tuple) and isinstance(value, _NamedTuple):
        return [(name, item, f".{name}") for name, item in zip(value._fields, value, strict=True)]
    if isinstance(value, (tuple, list)):
        return [(place, item, f"[{place}]") for place, item in enumerate(value)]
    return []
