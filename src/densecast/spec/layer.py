"""A network's layer as it is told of: operator, shape, parameters, multiplications, number type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator with weights, or a product of matrices.

    `macs` are multiplications with an addition, for one run at the shape that was asked about; None where it depends on
    sizes that are not known. `output_shape` is empty where it is not known. `precision` is the type of the weights, of
    a compiled model the type that the engine computes in.
    """

    name: str
    operator: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int | None
    precision: str


def total_macs(layers: Sequence[Layer]) -> int | None:
    """Those of all layers; None if one's are not known."""
    known = [layer.macs for layer in layers if layer.macs is not None]
    return sum(known) if len(known) == len(layers) else None
