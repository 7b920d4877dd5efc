"""What the readers of test pipelines share: what was read so far, and strictness about keys."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from densecast.errors import BadConfigError
from densecast.spec.preprocess import ColourOrder, Resize

CURE = "State the preprocessing yourself: --resize, --mean and --std, or --spec."


@dataclass(slots=True)
class State:
    """What the transforms read so far have made of an image."""

    resize: Resize | None = None
    colour: ColourOrder = "BGR"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pad_multiple: int = 1
    pad_fill: tuple[float, ...] = (0.0,)
    is_padded: bool = False
    is_later: bool = False
    is_float: bool = False
    ratios: tuple[float, ...] = (1.0,)
    flip: bool = False
    notes: list[str] = field(default_factory=list)


def numbers(value: Any, what: str) -> tuple[float, ...]:
    """A list of finite numbers, or one as a list of one.

    Raises:
        BadConfigError: anything else; says `what` it is.
    """
    items = value if isinstance(value, (list, tuple)) else (value,)
    good = all(isinstance(each, (int, float)) and not isinstance(each, bool) and math.isfinite(each) for each in items)
    if not items or not good:
        raise BadConfigError(f"{what} must be numbers, got {value!r:.60}.", field="config")
    return tuple(float(each) for each in items)


def only(table: dict[str, Any], kind: str, name: str, *allowed: Any) -> None:
    """Read a key of which nothing but these values can be expressed.

    Raises:
        BadConfigError: it has another.
    """
    if name in table and (value := table.pop(name)) not in allowed:
        raise BadConfigError(
            f"{kind} has {name}={value!r:.60}, and only {allowed[0]!r} can be expressed. {CURE}", field="config"
        )


def done(table: dict[str, Any], kind: str) -> None:
    """Refuse keys that nobody read.

    Raises:
        BadConfigError: names them.
    """
    if table:
        names = ", ".join(f"{name}={value!r:.40}" for name, value in table.items())
        raise BadConfigError(f"{kind} has keys that densecast cannot express: {names}. {CURE}", field="config")


def check_order(kind: str, state: State) -> None:
    """Refuse a resize of what is normalised or padded already: its interpolation sees other values.

    Raises:
        BadConfigError: it is.
    """
    before = "Normalize" if state.mean is not None else "Pad" if state.is_padded else None
    if before is not None:
        raise BadConfigError(
            f"the test pipeline has {kind} behind {before}, which is not expressed: only before it. {CURE}",
            field="config",
        )
