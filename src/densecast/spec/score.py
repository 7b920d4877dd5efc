"""A metric's value, with a record of what it was measured on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from densecast.spec import html_table
from densecast.spec.sample import SplitRecord


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's value over `count` images.

    `others` holds related numbers of other definitions under their own names; `per_image` the metric of
    each image where it is defined for one, by sample id; `per_class` holds numbers of each class,
    as `per_class["IoU"]["road"]`, None where the data set says nothing about it. `protocol` names the data set's
    published protocol that was followed, if one was requested. `remarks` say what the ground truth does not tell.
    """

    name: str
    value: float
    unit: Literal["fraction", "percent"]
    better: Literal["higher", "lower"]
    count: int
    per_class: dict[str, dict[str, float | None]] | None = None
    others: dict[str, float] = field(default_factory=dict)
    per_image: dict[str, float] = field(default_factory=dict)
    data: SplitRecord | None = None
    protocol: str | None = None
    remarks: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """The value, related numbers and those of each class, for notebooks."""
        title = f"{self.name} {self.value:.4f} ({self.better} is better) over {self.count} images"
        named = list(self.per_class or {})
        rows = [[name, f"{value:.4f}", *[""] * len(named)] for name, value in self.others.items()]
        classes = {label: None for numbers in (self.per_class or {}).values() for label in numbers}
        for label in classes:
            numbers = [(self.per_class or {})[name].get(label) for name in named]
            rows.append([label, "", *("" if number is None else f"{number:.4f}" for number in numbers)])
        return html_table.table(title, ["", "value", *named], rows)


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value with its 95 % confidence interval over images."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """`0.21 [0.05, 0.38]`; a zero has no sign."""
        value, low, high = (each + 0.0 for each in (self.value, self.low, self.high))
        return f"{value:.3g} [{low:.3g}, {high:.3g}]"
