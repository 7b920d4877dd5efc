"""Generates command-line flags from option dataclasses, so that each option is defined once.

A command names the dataclasses it takes; their fields that have words for a command line become its flags, and the
command gets the values as one mapping for each dataclass, ready for `codec.from_plain`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from densecast.errors import DensecastError, UsageError

Values = dict[str, Any]
Command = Callable[..., None]

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclasses.dataclass(frozen=True, slots=True)
class Flag:
    """One option on the command line.

    `kind` is the dataclass, `parameter` what the command's own signature calls it, `names` are its flags.
    """

    group: str
    kind: type
    field: dataclasses.Field[Any]
    parameter: str
    names: tuple[str, ...]


def takes(
    prefix: dict[str, str] | None = None, only: dict[str, tuple[str, ...]] | None = None, /, **kinds: type
) -> Callable[[Command], Command]:
    """Decorator that adds the options of each dataclass to a command, which receives them as one mapping per keyword.

    `prefix` puts words before the flags of a dataclass, where two have options of one name: `{"drop": "drop-"}`.
    `only` names the fields of a dataclass that are offered, where not all are. Wrong values end with exit code 2, and
    an error that names a field is shown with its flag.
    """
    flags = [
        flag
        for key, kind in kinds.items()
        for flag in _flags(key, kind, (prefix or {}).get(key, ""))
        if only is None or key not in only or flag.field.name in only[key]
    ]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapper(**given: Any) -> None:
            values: dict[str, Values] = {key: {} for key in kinds}
            for flag in flags:
                values[flag.group][flag.field.name] = _value(flag, given.pop(flag.parameter))
            with naming(flags):
                command(**given, **values)

        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.name not in kinds]
        last = next((place for place, each in enumerate(own) if each.name == "json"), len(own))
        made = [_parameter(flag) for flag in flags]
        return shown_with(wrapper, [*own[:last], *made, *own[last:]])

    return decorate


def shown_with(wrapper: Command, parameters: Sequence[inspect.Parameter]) -> Command:
    """The wrapper of a command, with these parameters for typer to make options of; each is passed by its name."""
    keyword_only = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    wrapper.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]  # functions may have one
    wrapper.__annotations__ = {each.name: each.annotation for each in keyword_only}
    # Typer would follow it to the command's own signature.
    del wrapper.__wrapped__  # type: ignore[attr-defined]  # of functools.wraps
    return wrapper


class naming:
    """Context manager that names the flag in errors of a field: in the place of its name, or in front."""

    def __init__(self, flags: list[Flag]) -> None:
        self._flags = {flag.field.name: flag.names[0] for flag in reversed(flags)}
        self._flags |= {f"{flag.group}.{flag.field.name}": flag.names[0] for flag in flags}

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Put the flag into the message."""
        if isinstance(error, DensecastError) and error.field is not None:
            name = error.field.rpartition(".")[2]
            flag = self._flags.get(error.field) or self._flags.get(name)
            said = str(error).removeprefix(f"command line: {error.field}: ")
            if flag is not None and said.startswith(f"{name} "):
                error.args = (f"{flag}{said.removeprefix(name)}", *error.args[1:])
            elif flag is not None and flag not in said:
                error.args = (f"{flag}: {said}", *error.args[1:])


def seconds(text: str) -> float:
    """Parse a duration (`90`, `90s`, `10m`, `2h`) into seconds.

    Raises:
        UsageError: none of these forms.
    """
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not parts:
        raise UsageError(f"{text!r} must be a time such as 90s, 10m or 2h.")
    return float(parts[1]) * _SECONDS[parts[2]]


def sizes(text: str) -> int | tuple[int, ...] | dict[str, int]:
    """Parse sizes: `640` is one size, `1,4,16` several, `32:2048` a range.

    Raises:
        UsageError: none of these forms.
    """
    try:
        low, colon, high = text.partition(":")
        if colon:
            return {"min": int(low), "max": int(high)}
        listed = tuple(int(size) for size in text.split(","))
    except ValueError:
        raise UsageError(f"{text!r} must be a size (640) or a range (32:2048).") from None
    return listed[0] if len(listed) == 1 else listed


def pair(text: str) -> list[int]:
    """Parse a height and width: `512` is both, `512x1024` height x width.

    Raises:
        UsageError: neither of these forms.
    """
    parts = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip())
    if not parts:
        raise UsageError(f"{text!r} must be HEIGHTxWIDTH (512x1024), or one number for both.")
    return [int(parts[1]), int(parts[2] or parts[1])]


def _flags(group: str, kind: type, prefix: str) -> list[Flag]:
    flags = []
    for field in dataclasses.fields(kind):
        if not field.metadata:
            continue
        name = field.metadata["flag"] or f"--{prefix}{field.name.replace('_', '-')}"
        flags.append(Flag(group, kind, field, f"{group}_{field.name}", (name, *field.metadata["aliases"])))
    return flags


def _parameter(flag: Flag) -> inspect.Parameter:
    """The flag as a parameter that typer understands."""
    words = flag.field.metadata
    kind, default = _typer_type(flag.field)
    info = typer.Option(
        *flag.names,
        help=words["help"],
        rich_help_panel=words["group"],
        min=words["minimum"],
        max=words["maximum"],
    )
    return inspect.Parameter(
        flag.parameter, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )


def _typer_type(field: dataclasses.Field[Any]) -> tuple[Any, Any]:
    """The type of the text on the command line, and the default as such a text."""
    form: str | None = field.metadata["form"]
    default: Any = field.default
    if form == "names":
        return (list[str] | None), None
    if form == "sizes":
        return str, ",".join(str(size) for size in default)
    if form in ("size", "pair"):
        return (str | None), None
    if form == "seconds":
        return str, f"{default / 60:g}m" if default % 60 == 0 else f"{default:g}s"
    kind: Any = field.type if not isinstance(field.type, str) else _named(field.type)
    return kind, default


def _named(text: str) -> Any:
    """The type that an annotation's text names; choices become `str`."""
    optional = text.endswith(" | None")
    plain = {"int": int, "float": float, "bool": bool, "str": str}.get(text.removesuffix(" | None"), str)
    return typing.Optional[plain] if optional else plain  # noqa: UP045 - the type is known at run time only


def _value(flag: Flag, given: Any) -> Any:
    """Parse a flag's text into plain data.

    Raises:
        UsageError: a text that stands for nothing; names the flag.
    """
    form = flag.field.metadata["form"]
    try:
        if form == "names":
            if not given:
                return flag.field.default
            return [name for name in given if name != "none"]
        if form == "seconds":
            return seconds(given)
        if form == "sizes":
            batch = sizes(given)
            return [batch] if isinstance(batch, int) else batch
        if form == "pair" and given is not None:
            return pair(given)
        if form == "size" and given is not None:
            side = sizes(given)
            if isinstance(side, tuple):
                raise UsageError(f"{given!r} must be one size (640) or a range (32:2048).")
            return side
    except UsageError as error:
        raise UsageError(f"{flag.names[0]}: {error}") from None
    return _choice(flag, given) if isinstance(given, str) and given != flag.field.default else given


def _choice(flag: Flag, given: str) -> str:
    """A choice as it is written, whatever letters it was typed in; what is none stays as it is."""
    kind = typing.get_type_hints(flag.kind)[flag.field.name]
    literals = [each for each in (kind, *typing.get_args(kind)) if typing.get_origin(each) is typing.Literal]
    known = [str(value) for literal in literals for value in typing.get_args(literal)]
    return next((each for each in known if each.casefold() == given.casefold()), given)
