"""Chart of the error of every intermediate tensor, from input to output, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from densecast.report.plot import frame
from densecast.results.compare import CurvePoint, Findings

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 260, 56, 12, 14, 40
_EXACT = 1e-9
_ACTUAL, _EXPECTED, _MARK = "#1864ab", "#adb5bd", "#d9480f"


def draw(findings: Findings) -> str:
    """Draw relative L2 errors (log scale) in network order, expected rounding errors, and where they diverge."""
    points = findings.curve
    values = [_shown(value) for point in points for value in (point.error, point.expected)]
    low, high = math.floor(min(values)), math.ceil(max(values) + 1e-9)
    high = max(high, low + 1)

    def level(power: float) -> float:
        return round(_HEIGHT - _BOTTOM - (power - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP), 1)

    def place(index: int, value: float) -> tuple[float, float]:
        x = _LEFT + (index + 0.5) / len(points) * (_WIDTH - _LEFT - _RIGHT)
        return round(x, 1), level(_shown(value))

    parts = [frame("error of each inner tensor", _HEIGHT)]
    for power in range(low, high + 1, max(1, (high - low) // 5)):
        y = level(power)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">1e{power}</text>')
    parts.append(_line(points, lambda point: point.expected, place, _EXPECTED))
    parts.append(_line(points, lambda point: point.error, place, _ACTUAL))
    for index, point in enumerate(points):
        x, y = place(index, point.error)
        hint = escape(_hint(point))
        parts.append(f'<circle cx="{x}" cy="{y}" r="2.5" fill="{_ACTUAL}"><title>{hint}</title></circle>')
    location = findings.location
    if location is not None and location.stage == "network":
        marked = [number for number, point in enumerate(points) if point.error == location.error]
        for number in marked[:1]:
            x, y = place(number, points[number].error)
            parts.append(f'<circle cx="{x}" cy="{y}" r="7" fill="none" stroke="{_MARK}" stroke-width="2.5"/>')
    parts.append(
        f'<text x="{_LEFT}" y="{_HEIGHT - 8}" fill="{_ACTUAL}">relative L2 error of each tensor, image to output; '
        "grey: what rounding explains</text>"
    )
    return "".join(parts) + "</svg>"


def _line(
    points: tuple[CurvePoint, ...],
    value: Callable[[CurvePoint], float],
    place: Callable[[int, float], tuple[float, float]],
    colour: str,
) -> str:
    path = " ".join(f"{x},{y}" for x, y in (place(index, value(point)) for index, point in enumerate(points)))
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _shown(value: float) -> float:
    """The power of ten to draw: exact results at the bottom, infinite ones at the top."""
    if not math.isfinite(value):
        return 2.0
    return min(math.log10(max(value, _EXACT)), 2.0)


def _hint(point: CurvePoint) -> str:
    return f"{point.layer} {point.kind}: {point.error:.1e}, rounding explains {point.expected:.1e}"
