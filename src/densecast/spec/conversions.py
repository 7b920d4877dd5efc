"""What the codec does to values that people wrote: converted before they are checked, or read by their `kind`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Converted:
    """Tells the codec to convert a value that people wrote before it is checked."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        self._convert = convert

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """The type's own schema, after the conversion."""
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self._convert, handler(source))


class ByKind:
    """Tells the codec to read a resize rule by its `kind`, so that errors are about that rule alone."""

    def __init__(self, *rules: type[Any]) -> None:
        self._rules = rules

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """A schema of all rules, told apart by their kind."""
        from pydantic_core import core_schema

        choices: dict[str, Any] = {str(rule.__dataclass_fields__["kind"].default): rule for rule in self._rules}

        def check(value: Any) -> Any:
            kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
            if kind not in choices:
                raise ValueError(f"a resize is a table with a kind, one of {', '.join(choices)}; got {kind!r}")
            return value

        schemas = {kind: handler.generate_schema(rule) for kind, rule in choices.items()}
        return core_schema.no_info_before_validator_function(
            check, core_schema.tagged_union_schema(schemas, discriminator="kind")
        )


def one_or_many(value: Any) -> Any:
    """A single number as a list of one: it stands for all channels."""
    return (value,) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
