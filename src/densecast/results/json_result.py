"""Common parts of all results: JSON serialisation, and the record of the model measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from densecast.io import codec
from densecast.spec.precision import Precision, PrecisionRan

FORMAT = 1
"""The number of the format that results are written in; it changes when a key changes its name or meaning."""


class JsonResult:
    """A result whose JSON form is its `plain()`, with keys that scripts can rely on."""

    __slots__ = ()

    def plain(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, ready for `json.dumps`."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """The dataclass's own schema, serialised by `plain`."""
        from pydantic_core import core_schema

        def write(result: JsonResult) -> dict[str, Any]:
            return result.plain()

        schema: dict[str, Any] = handler(source)
        return schema | {"serialization": core_schema.plain_serializer_function_ser_schema(write)}


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """The requested precision (None if none was), and the precision that the engine reports it ran."""

    asked: Precision | None
    ran: PrecisionRan

    def plain(self) -> dict[str, Any]:
        """`asked`, `ran`, `layers` and `source`."""
        return {"asked": self.asked, "ran": self.ran.compute, "layers": self.ran.layers, "source": self.ran.source}


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """The model that a result belongs to. `backend` and `artifact` (its folder) are None without an artifact."""

    model: str
    backend: str | None
    artifact: str | None
    precision: PrecisionReport

    def plain(self) -> dict[str, Any]:
        """`precision`, `backend`, `model` and `artifact`."""
        return {
            "precision": self.precision.plain(),
            "backend": self.backend,
            "model": self.model,
            "artifact": self.artifact,
        }


def without_none(value: object) -> dict[str, Any]:
    """A dataclass as a plain dict, without the fields that are None."""
    return {key: each for key, each in codec.to_plain(value).items() if each is not None}
