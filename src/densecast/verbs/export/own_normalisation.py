"""Tells what a graph itself does to the values of its image, and what it has to be fed for that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadConfigError
from densecast.graph import _tensors
from densecast.spec.preprocess import Preprocess

Floats = npt.NDArray[np.float64]

_PASSING = {"Identity", "Cast", "Transpose", "Dropout", "Unsqueeze", "Squeeze"}
_LINEAR = {"Add", "Sub", "Mul", "Div"}
# First layers see images that span 1 to 5, or 255 where only means are subtracted; what is normalised twice spans a
# hundredth, or lies as a whole a hundred spans away from 0.
_LEAST_SPAN, _LARGEST_SPAN, _FURTHEST_SPANS = 0.05, 5000.0, 10.0


def settle(model: Any, name: str, rule: Preprocess) -> tuple[Preprocess, tuple[str, ...]]:
    """The preprocessing of the input `name` beside what the graph does itself, and a note where it was changed.

    Nothing declared means values 0..1; a graph that only makes sense of 0..255 is fed these.

    Raises:
        BadConfigError: with what is declared, the first layer would see next to nothing of the image.
    """
    found = _own(model, name)
    return (rule, ()) if found is None else fed(rule, found, name)


def fed(rule: Preprocess, own: tuple[Floats, Floats], name: str) -> tuple[Preprocess, tuple[str, ...]]:
    """As `settle`, of a graph that is known to multiply its input by `own[0]` and to add `own[1]`.

    Raises:
        BadConfigError: see `settle`.
    """
    low, high = _seen(rule, own)
    if _is_sound(low, high):
        return rule, ()
    undivided = replace(rule, mean=(0.0,), std=(1.0,), divisor=1.0)
    would_do = _is_sound(*_seen(undivided, own))
    if is_undeclared(rule) and would_do:
        return undivided, (f"the graph normalises {name} itself, from values 0..255: it is fed these",)
    cure = "Feed it 0..255: --normalise 0..255." if would_do else "Export it without that, or say what it is fed."
    raise BadConfigError(
        f"the graph normalises {name} itself, and behind the declared mean and std its first layer would see images "
        f"as {float(low.min()):.4g} to {float(high.max()):.4g}. {cure}",
        field="mean",
    )


def is_undeclared(rule: Preprocess) -> bool:
    """Whether it is what a spec has that says nothing of normalisation: values divided by 255."""
    return not any(rule.mean) and all(each == 255 for each in rule.std) and rule.divisor == 1


def _seen(rule: Preprocess, own: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """The values that black and white become, by channel."""
    mean, std = np.array(rule.mean, np.float64), np.array(rule.std, np.float64)
    scale, shift = own
    black, white = ((end / rule.divisor - mean) / std for end in (0.0, 255.0))
    if scale.size not in (1, black.size) and black.size != 1:
        black, white = black[:1], white[:1]
    ends = np.stack([black * scale + shift, white * scale + shift])
    return ends.min(axis=0), ends.max(axis=0)


def _is_sound(low: Floats, high: Floats) -> bool:
    span = high - low
    nearest = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
    return bool(
        (span >= _LEAST_SPAN).any() and (span <= _LARGEST_SPAN).all() and (nearest <= _FURTHEST_SPANS * span).any()
    )


def _own(model: Any, name: str) -> tuple[Floats, Floats] | None:
    """Scale and shift, a number for all channels or one for each, that constants apply to an input; None without."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for each in node.input:
            readers.setdefault(each, []).append(node)
    constants = _Constants(model)
    scale, shift, is_changed = np.ones(1), np.zeros(1), False
    # A node may be read by several; the image is normalised once for all of them.
    while len(readers.get(name, ())) == 1:
        (node,) = readers[name]
        if node.op_type in _LINEAR:
            other = node.input[1] if node.input[0] == name else node.input[0]
            number = constants.by_channel(other)
            if number is None or (number.size > 1 < scale.size != number.size):
                break
            scale, shift = _applied(node.op_type, scale, shift, number, is_first=node.input[0] == name)
            is_changed = True
        elif node.op_type not in _PASSING:
            break
        name = node.output[0]
    return (scale, shift) if is_changed and np.isfinite(scale).all() and np.isfinite(shift).all() else None


def _applied(operator: str, scale: Floats, shift: Floats, number: Floats, *, is_first: bool) -> tuple[Floats, Floats]:
    if operator == "Add":
        return scale + 0 * number, shift + number
    if operator == "Sub":
        return (scale + 0 * number, shift - number) if is_first else (0 * number - scale, number - shift)
    if operator == "Mul":
        return scale * number, shift * number
    with np.errstate(divide="ignore", invalid="ignore"):
        # A number divided by the image is no normalisation.
        return (scale / number, shift / number) if is_first else (scale * np.nan, shift)


class _Constants:
    """Small constants of a graph, in initializers, Constant nodes, and behind what only passes them on."""

    def __init__(self, model: Any) -> None:
        self._initialisers = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers = _tensors.producers(model.graph)

    def by_channel(self, name: str) -> Floats | None:
        """One number, or one for each channel; None for anything else."""
        from onnx import numpy_helper

        for _ in range(len(self._makers) + 1):
            if name in self._initialisers:
                tensor = self._initialisers[name]
                if int(np.prod(tensor.dims, dtype=np.int64)) > max([1, *tensor.dims]):
                    return None
                return np.asarray(numpy_helper.to_array(tensor), np.float64).reshape(-1)
            node = self._makers.get(name)
            if node is None:
                return None
            if node.op_type == "Constant":
                value = _tensors.attribute(node, "value", None)
                numbers = (
                    _tensors.attribute(node, "value_float", None) if value is None else numpy_helper.to_array(value)
                )
                array = None if numbers is None else np.asarray(numbers, np.float64)
                return array.reshape(-1) if array is not None and array.size == max([1, *array.shape]) else None
            if node.op_type not in _PASSING or not node.input:
                return None
            name = node.input[0]
        return None
