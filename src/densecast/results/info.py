"""What a model is: tensors, layers, parameters, multiplications, precision, where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from densecast.io import codec
from densecast.results.json_result import FORMAT, JsonResult
from densecast.spec.layer import Layer


@dataclass(frozen=True, slots=True)
class TensorText:
    """A tensor's name, number type and sizes, as text where they are open."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        """`image float32 (N in 1..64, 3, H in 32..4096, W in 32..4096)`."""
        return f"{self.name} {self.dtype} ({', '.join(str(size) for size in self.shape)})"


@dataclass(frozen=True, slots=True)
class ModelInfo(JsonResult):
    """A model, as far as its kind of file says: what is not known is None or empty.

    `macs` are multiplications with an addition for one run at `at_shape`, that of the first input. `asked` and `ran`
    are precisions of a built model. `origin` says where it came from, by what: source, weights, exporter, versions.
    """

    path: str
    kind: str
    name: str | None = None
    task: str | None = None
    inputs: tuple[TensorText, ...] = ()
    outputs: tuple[TensorText, ...] = ()
    labels: tuple[str, ...] = ()
    preprocess: dict[str, Any] | None = None
    size_bytes: int | None = None
    parameters: int | None = None
    macs: int | None = None
    at_shape: tuple[int, ...] | None = None
    asked: str | None = None
    ran: str | None = None
    backend: str | None = None
    layers: tuple[Layer, ...] = ()
    origin: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """All fields, with the number of the format."""
        return {
            "format": FORMAT,
            **{name: codec.to_plain(getattr(self, name)) for name in self.__dataclass_fields__},
        }
