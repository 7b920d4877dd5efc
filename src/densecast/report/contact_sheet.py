"""Renders what a check of a data set found as one self-contained HTML page with small pictures."""

from __future__ import annotations

import base64
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass

from densecast.report.page import require_jinja as require_jinja
from densecast.results.data_check import DataCheckResult

# Of thousands of problems the first ones tell the kind; the JSON has all.
_MOST_PROBLEMS = 200


@dataclass(frozen=True, slots=True)
class Card:
    """A pair: its id, what is wrong with it, and a small JPEG; None for one that cannot be read."""

    name: str
    problems: tuple[str, ...]
    jpeg: bytes | None


def page(result: DataCheckResult, cards: Sequence[Card], read: int) -> str:
    """Render the page; `read` is how many pairs were read.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    require_jinja()
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    text = importlib.resources.files("densecast.report").joinpath("contact_sheet.html.j2").read_text(encoding="utf-8")
    whole = max(1, result.pixels)
    most = max((each.pixels for each in result.classes), default=0) or 1
    rendered: str = environment.from_string(text).render(
        result=result,
        read=read,
        classes=[(each, each.pixels / whole, each.pixels / most) for each in result.classes],
        ignored=result.ignored / whole,
        problems=result.problems[:_MOST_PROBLEMS],
        more=max(0, len(result.problems) - _MOST_PROBLEMS),
        cards=[(card, None if card.jpeg is None else base64.b64encode(card.jpeg).decode("ascii")) for card in cards],
    )
    return rendered
