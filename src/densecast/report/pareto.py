"""Chart of a mixed-precision search as inline SVG: accuracy drop against speed, with the Pareto front and the limit."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from densecast.artifact.search_record import SearchRecord, Trial
from densecast.report import labels
from densecast.report.labels import Box
from densecast.report.plot import WIDE, frame, ticks

_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 340, 62, 16, 30, 84
_WITHIN, _BEYOND, _MARK, _LIMIT = "#228be6", "#adb5bd", "#e8590c", "#2f9e44"
Place = Callable[[float, float], tuple[float, float]]


def draw(record: SearchRecord, width: int = WIDE) -> str:
    """Draw one point per model with its 95 % interval: speed on x, drop on y; the best are at the bottom right.

    A line joins what nothing else beats in both, a ring marks the one taken, a dashed line the limit.
    """
    trials, limit = record.trials, record.options.points
    speeds = [trial.speed for trial in trials]
    drops = [value for trial in trials for value in (trial.drop.low, trial.drop.high)] + [0.0, limit]
    x_margin = max((max(speeds) - min(speeds)) * 0.1, 0.02)
    y_margin = max((max(drops) - min(drops)) * 0.08, 1e-6)
    x_low, x_high = min(speeds) - x_margin, max(speeds) + x_margin
    y_low, y_high = min(drops) - y_margin, max(drops) + y_margin

    def place(speed: float, drop: float) -> tuple[float, float]:
        x = _LEFT + (speed - x_low) / (x_high - x_low) * (width - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - (drop - y_low) / (y_high - y_low) * (_HEIGHT - _BOTTOM - _TOP)
        return round(x, 1), round(y, 1)

    parts = [frame(f"{record.metric} drop against speed", _HEIGHT, width)]
    parts.append(f'<text x="4" y="14">points of {escape(record.metric)} lost, lower is better</text>')
    parts += _axes(place, (x_low, x_high), (y_low, y_high), width)
    _, y = place(x_low, limit)
    parts.append(
        f'<line x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y}" y2="{y}" stroke="{_LIMIT}" stroke-dasharray="6 4"/>'
    )
    front = sorted((trial for trial in trials if trial.name in record.pareto_front), key=lambda trial: trial.speed)
    points = [place(trial.speed, trial.drop.value) for trial in front]
    corners = " ".join(f"{x},{y}" for x, y in points)
    parts.append(f'<polyline points="{corners}" fill="none" stroke="{_WITHIN}" stroke-width="1.5"/>')
    bars = []
    for trial in trials:
        x, low, high = (*place(trial.speed, trial.drop.low), place(trial.speed, trial.drop.high)[1])
        parts += _point(trial, record, x, place)
        bars.append(Box(x - 6, high - 2, x + 6, low + 2))
    area = Box(_LEFT, _TOP - 6, width - 4, _HEIGHT - _BOTTOM)
    names = [trial.name for trial in front]
    for (x, y), label, name in zip(points, labels.place(points, names, area, bars), names, strict=True):
        if label.is_led:
            end_x, end_y = min(max(x, label.box.left), label.box.right), min(max(y, label.box.top), label.box.bottom)
            parts.append(f'<line x1="{x}" x2="{end_x:.1f}" y1="{y}" y2="{end_y:.1f}" class="grid"/>')
        parts.append(f'<text x="{label.x:.1f}" y="{label.y:.1f}">{escape(name)}</text>')
    parts.append(
        f'<text x="{(_LEFT + width - _RIGHT) / 2}" y="{_HEIGHT - 44}" text-anchor="middle">times 16-bit speed</text>'
        f'<text x="4" y="{_HEIGHT - 24}">ring: taken; dashed: the limit; bars: 95 % interval;</text>'
        f'<text x="4" y="{_HEIGHT - 6}">grey: may lose more than the limit</text>'
    )
    return "".join(parts) + "</svg>"


def _axes(place: Place, speeds: tuple[float, float], drops: tuple[float, float], width: int) -> list[str]:
    parts = []
    for drop in ticks(*drops):
        _, y = place(speeds[0], drop)
        parts.append(f'<line x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{drop:g}</text>')
    for speed in ticks(*speeds):
        x, _ = place(speed, drops[0])
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" class="grid"/>')
        parts.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{speed:g}</text>')
    return parts


def _point(trial: Trial, record: SearchRecord, x: float, place: Place) -> list[str]:
    """Draw the interval and the point, with a ring if it was selected."""
    colour = _WITHIN if trial.is_within(record.options.points) else _BEYOND
    low, y, high = (place(trial.speed, value)[1] for value in (trial.drop.low, trial.drop.value, trial.drop.high))
    description = escape(f"{trial.name}: {trial.drop} points, {trial.speed:.2f} times 16-bit speed")
    parts = [
        f'<line x1="{x}" x2="{x}" y1="{low}" y2="{high}" stroke="{colour}"/>',
        f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"><title>{description}</title></circle>',
    ]
    if trial.name == record.winner:
        parts.append(f'<circle cx="{x}" cy="{y}" r="8" fill="none" stroke="{_MARK}" stroke-width="2.5"/>')
    return parts
