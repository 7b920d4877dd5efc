"""Chart of a metric by class as inline SVG: a bar for the first model and one for the build to take."""

from __future__ import annotations

import math
from html import escape

from densecast.report import labels
from densecast.report.data import Report, Row
from densecast.report.plot import WIDE, frame, shortened
from densecast.report.verdict import name

_FIRST, _TAKEN = "#adb5bd", "#228be6"
_BAR_PX, _GAP_PX, _TOP, _VALUE_PX = 8, 6, 26, 54


def draw(report: Report, taken: Row, width: int = WIDE) -> str:
    """Draw every class that has a value; empty without classes, or for a measure that is no share of 1."""
    first = report.rows[0]
    by_class = next(iter((first.score.per_class or {}).items()), None)
    if by_class is None:
        return ""
    measure, values = by_class
    shown = [first] if taken is first else [first, taken]
    rows = [(row.score.per_class or {}).get(measure, {}) for row in shown]
    classes = [each for each in values if any(_is_share(row.get(each)) for row in rows)]
    if not classes or any(not _is_share(row.get(each), allow_none=True) for row in rows for each in classes):
        return ""
    names = [shortened(each, 22 if width >= WIDE else 14) for each in classes]
    left = round(max(map(labels.width_of, names))) + 10
    step = len(shown) * _BAR_PX + _GAP_PX + (6 if len(shown) == 1 else 0)
    height = _TOP + step * len(classes) + 24
    length = width - left - _VALUE_PX
    parts = [frame(f"{measure} by class", height, width)]
    x = 4.0
    for row, colour in zip(shown, (_FIRST, _TAKEN), strict=False):
        title = shortened(name(row), 24)
        parts.append(f'<rect x="{x}" y="4" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="14">{escape(title)}</text>')
        x += 17 + labels.width_of(title) + 14
    for mark in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = left + mark * length
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP - 4}" y2="{height - 20}" class="grid"/>')
        parts.append(f'<text x="{at:.1f}" y="{height - 6}" text-anchor="middle">{mark:g}</text>')
    parts.append(f'<text x="4" y="{height - 6}">{escape(shortened(measure, 8))}</text>')
    for line, (each, text) in enumerate(zip(classes, names, strict=True)):
        top = _TOP + step * line
        middle = top + (step - _GAP_PX) / 2 + 4
        parts.append(f'<text x="{left - 6}" y="{middle:.1f}" text-anchor="end">{escape(text)}</text>')
        for number, (values_of, colour) in enumerate(zip(rows, (_FIRST, _TAKEN), strict=False)):
            value = values_of.get(each)
            if value is None or math.isnan(value):
                continue
            y = top + number * _BAR_PX
            parts.append(
                f'<rect x="{left}" y="{y}" width="{value * length:.1f}" height="{_BAR_PX}" fill="{colour}">'
                f"<title>{escape(f'{each}, {name(shown[number])}: {value:.4f}')}</title></rect>"
            )
        last = rows[-1].get(each)
        if last is not None and not math.isnan(last):
            parts.append(f'<text x="{width - _VALUE_PX + 8}" y="{middle:.1f}">{last:.4f}</text>')
    return "".join(parts) + "</svg>"


def _is_share(value: float | None, *, allow_none: bool = False) -> bool:
    if value is None or math.isnan(value):
        return allow_none
    return 0 <= value <= 1
