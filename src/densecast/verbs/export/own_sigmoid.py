"""Tells whether a multi-label network ends in its sigmoid already, of which a second one would find every class."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from densecast.graph import _value_bounds
from densecast.spec.model import ModelSpec
from densecast.tasks.multilabel import MultilabelDecode
from densecast.verbs.export import output_form


def settle(model: Any, main: str, spec: ModelSpec) -> tuple[ModelSpec, tuple[str, ...]]:
    """The spec without a sigmoid on top of the network's own, and a note on it; of other tasks the spec as it is.

    A sigmoid of values from 0 to 1 is never below a half.
    """
    if not isinstance(spec.decode, MultilabelDecode) or spec.decode.activation != "sigmoid":
        return spec, ()
    low, high = _value_bounds.of(model, main)
    is_unit = low >= 0 and high <= 1 + output_form.UNIT_TOLERANCE
    if not is_unit and output_form.last_operator(model, main) != "Sigmoid":
        return spec, ()
    note = f"the output {main!r} holds probabilities, as the network ends in a sigmoid: decoded with activation 'none'"
    return replace(spec, decode=replace(spec.decode, activation="none")), (note,)
