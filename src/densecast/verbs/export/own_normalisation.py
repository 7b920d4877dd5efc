"""Tells what a graph itself does to the values of its image, and what it has to be fed for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadConfigError, BadGraphError
from densecast.graph import _before_layers
from densecast.spec.preprocess import Preprocess
from densecast.verbs.export import onnx_file, outputs

Floats = npt.NDArray[np.float64]
Seen = Callable[[Floats], Floats]
"""What a first layer sees, (K, values), of K images of one colour each that are fed as (K, channels)."""

# Black, white and greys between: what is clipped or bent is no straight line between its ends.
_GREYS = np.array([[0.0], [64.0], [128.0], [192.0], [255.0]])
# First layers see images that span 1 to 5, or 255 where only means are subtracted; what is normalised twice spans a
# hundredth, or lies as a whole a hundred spans away from 0.
_LEAST_SPAN, _LARGEST_SPAN, _FURTHEST_SPANS = 0.05, 5000.0, 10.0
# A normalisation puts 0 inside of what images span, and not near an end; of values 0..1 it divides by less than this.
_INSIDE, _LARGEST_DEVIATION, _NORMALISED_SPAN = 0.1, 0.55, 1.5
# Of an open side: small, and a multiple of what slices and padding before a first layer ask for.
_SIDE = 32
_LARGEST_IMAGE = 1 << 24


def settle(model: Any, name: str, rule: Preprocess) -> tuple[Preprocess, tuple[str, ...]]:
    """The preprocessing of the input `name` beside what the graph does itself, and a note where it was changed.

    Nothing declared means values 0..1; a graph that only makes sense of 0..255 is fed these.

    Raises:
        BadConfigError: with what is declared, the first layer would see next to nothing of the image.
    """
    seen = _seen(model, name)
    return (rule, ()) if seen is None else fed(rule, seen, name)


def fed(rule: Preprocess, seen: Seen, name: str) -> tuple[Preprocess, tuple[str, ...]]:
    """As `settle`, of a graph whose first layer is known to see `seen` of what it is fed.

    Raises:
        BadConfigError: see `settle`.
    """
    found = _of_greys(rule, seen)
    if _is_sound(found):
        _refuse_twice(rule, seen, found, name)
        return rule, ()
    undivided = replace(rule, mean=(0.0,), std=(1.0,), divisor=1.0)
    would_do = _is_sound(_of_greys(undivided, seen))
    if is_undeclared(rule) and would_do:
        return undivided, (f"the graph normalises {name} itself, from values 0..255: it is fed these",)
    cure = "Feed it 0..255: --normalise 0..255." if would_do else "Export it without that, or say what it is fed."
    raise BadConfigError(
        f"the graph normalises {name} itself, and behind the declared mean and std its first layer would see images "
        f"as {float(found.min()):.4g} to {float(found.max()):.4g}. {cure}",
        field="mean",
    )


def _refuse_twice(rule: Preprocess, seen: Seen, found: Floats, name: str) -> None:
    """Refuse a declared normalisation of a graph that normalises values 0..1 itself.

    Raises:
        BadConfigError: says what its first layer would see, and what it sees without.
    """
    of_unit = _of_greys(replace(rule, mean=(0.0,), std=(255.0,), divisor=1.0), seen)
    is_scaled = bool((np.ptp(of_unit, axis=0) >= 1 / _LARGEST_DEVIATION).all())
    declared = _of_greys(rule, lambda values: values)
    is_declared = bool((np.ptp(declared, axis=0) >= _NORMALISED_SPAN).all()) and _is_centred(declared)
    if is_scaled and is_declared and _is_centred(of_unit):
        raise BadConfigError(
            f"the graph normalises {name} itself, from values 0..1, which become {of_unit.min():.3g} to "
            f"{of_unit.max():.3g}; the declared mean and std would do it again, and its first layer see "
            f"{found.min():.3g} to {found.max():.3g}. Feed it 0..1: --normalise 0..1.",
            field="mean",
        )


def _is_centred(found: Floats) -> bool:
    low, high = found.min(axis=0), found.max(axis=0)
    margin = _INSIDE * (high - low)
    return bool(((low < -margin) & (high > margin)).all())


def is_undeclared(rule: Preprocess) -> bool:
    """Whether it is what a spec has that says nothing of normalisation: values divided by 255."""
    return not any(rule.mean) and all(each == 255 for each in rule.std) and rule.divisor == 1


def _of_greys(rule: Preprocess, seen: Seen) -> Floats:
    """What a first layer sees of black, white and greys, (greys, values); values that are no numbers are left out."""
    mean, std = np.array(rule.mean, np.float64), np.array(rule.std, np.float64)
    found = seen((_GREYS / rule.divisor - mean) / std)
    return found[:, np.isfinite(found).all(axis=0)]


def _is_sound(found: Floats) -> bool:
    """Whether a layer can tell greys apart by such values; of no values at all nothing can be said."""
    if not found.size:
        return True
    low, high = found.min(axis=0), found.max(axis=0)
    span = high - low
    nearest = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
    return bool(
        (span >= _LEAST_SPAN).any() and (span <= _LARGEST_SPAN).all() and (nearest <= _FURTHEST_SPANS * span).any()
    )


def _seen(model: Any, name: str) -> Seen | None:
    """What stands before the layers, as a function; None where a layer sees the image as it is fed, or none is known.

    It is run, not read: means by channel, clipping, channels that are split, turned and joined are alike to that.
    """
    from onnx import TensorProto

    value = next((each for each in model.graph.input if each.name == name), None)
    kind = None if value is None else value.type.tensor_type
    if kind is None or kind.elem_type != TensorProto.FLOAT or len(kind.shape.dim) != 4:
        return None
    batch, channels, *sides = (dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim)
    size = (batch or 1, channels, *(side or _SIDE for side in sides))
    if channels < 1 or np.prod(size, dtype=np.float64) > _LARGEST_IMAGE:
        return None
    before = _before_layers.cut(model, name)
    if before is None:
        return None
    try:
        run = onnx_file.graph_runner(before.SerializeToString())
    except BadGraphError:
        return None
    if outputs.answered(run, {name: np.zeros(size, np.float32)}) is None:
        return None

    def seen(values: Floats) -> Floats:
        columns = values if values.shape[1] in (1, channels) else values[:, :1]
        answers = []
        for colour in columns:
            image = np.empty(size, np.float32)
            image[:] = colour.reshape(1, -1, 1, 1)
            answers.append(np.concatenate([each.reshape(-1) for each in run({name: image}).values()]))
        return np.asarray(answers, np.float64)

    return seen
