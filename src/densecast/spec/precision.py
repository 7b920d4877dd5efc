"""The three precisions that users can request, their short names, and the precision that an engine reports back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from densecast.errors import UnknownNameError

Precision = Literal["force_float32", "force_float16", "qint8_mixed_float16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_ALIASES: dict[str, Precision] = {
    "fp32": "force_float32",
    "float32": "force_float32",
    "fp16": "force_float16",
    "float16": "force_float16",
    "int8": "qint8_mixed_float16",
}
_SHORT: dict[Precision, str] = {
    "force_float32": "fp32",
    "force_float16": "fp16",
    "qint8_mixed_float16": "int8",
}


def parse(name: str) -> Precision:
    """Parse a precision from its full or short name, in letters of any case.

    >>> parse("int8")
    'qint8_mixed_float16'

    Raises:
        UnknownNameError: no such precision.
    """
    name, given = name.strip().lower(), name
    for precision in PRECISIONS:
        if name == precision:
            return precision
    if name in _ALIASES:
        return _ALIASES[name]
    raise UnknownNameError.among("precision", given, (*PRECISIONS, *_ALIASES))


def short(precision: Precision) -> str:
    """`fp32`, `fp16` or `int8`."""
    return _SHORT[precision]


@dataclass(frozen=True, slots=True)
class PrecisionRan:
    """The precision that an engine reports for its compiled graph.

    `compute` is the type most of the arithmetic runs in; `layers` counts convolutions, matrix products and
    their fusions by type; `source` says where in the engine it was read.
    """

    compute: str
    layers: dict[str, int]
    source: str

    @classmethod
    def from_counts(cls, layers: dict[str, int], source: str) -> PrecisionRan:
        """Majority vote over `layers`; `none` for a graph without any counted layer."""
        compute = max(sorted(layers), key=lambda name: layers[name]) if layers else "none"
        return cls(compute=compute, layers=dict(sorted(layers.items())), source=source)

    def __str__(self) -> str:
        """`i8 (23 of 24 layers)`, or `f32` where all layers agree."""
        total = sum(self.layers.values())
        share = self.layers.get(self.compute, 0)
        return self.compute if share == total else f"{self.compute} ({share} of {total} layers)"
