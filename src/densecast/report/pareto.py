"""Chart of a mixed-precision search as inline SVG: accuracy drop against speed, with the Pareto front and the limit."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from densecast.artifact.search_record import SearchRecord, Trial
from densecast.report.plot import frame, ticks

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 316, 70, 40, 16, 60
_WITHIN, _BEYOND, _MARK, _LIMIT = "#1864ab", "#adb5bd", "#d9480f", "#2b8a3e"
Place = Callable[[float, float], tuple[float, float]]


def draw(record: SearchRecord) -> str:
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
        x = _LEFT + (speed - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - (drop - y_low) / (y_high - y_low) * (_HEIGHT - _BOTTOM - _TOP)
        return round(x, 1), round(y, 1)

    parts = [frame(f"{record.metric} drop against speed", _HEIGHT)]
    for drop in ticks(y_low, y_high):
        _, y = place(x_low, drop)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{drop:g}</text>')
    for speed in ticks(x_low, x_high):
        x, _ = place(speed, y_low)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" class="grid"/>')
        parts.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{speed:g}</text>')
    _, y = place(x_low, limit)
    parts.append(
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="{_LIMIT}" stroke-dasharray="6 4"/>'
    )
    front = sorted((trial for trial in trials if trial.name in record.pareto_front), key=lambda trial: trial.speed)
    corners = " ".join("{},{}".format(*place(trial.speed, trial.drop.value)) for trial in front)
    parts.append(f'<polyline points="{corners}" fill="none" stroke="{_WITHIN}" stroke-width="1.5"/>')
    for trial in trials:
        parts += _point(trial, record, place(trial.speed, trial.drop.value)[0], place)
    parts.append(
        f'<text x="{_LEFT}" y="{_HEIGHT - 24}">right: times 16-bit speed; up: points of {escape(record.metric)} lost, '
        "with the 95 % interval</text>"
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">ring: taken; dashed: the limit; grey: may lose more than that; '
        "joined: beaten by none</text>"
    )
    return "".join(parts) + "</svg>"


def _point(trial: Trial, record: SearchRecord, x: float, place: Place) -> list[str]:
    """Draw the interval and the point, with its name if it is on the Pareto front and a ring if it was selected."""
    colour = _WITHIN if trial.is_within(record.options.points) else _BEYOND
    low, y, high = (place(trial.speed, value)[1] for value in (trial.drop.low, trial.drop.value, trial.drop.high))
    description = escape(f"{trial.name}: {trial.drop} points, {trial.speed:.2f} times 16-bit speed")
    parts = [
        f'<line x1="{x}" x2="{x}" y1="{low}" y2="{high}" stroke="{colour}"/>',
        f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"><title>{description}</title></circle>',
    ]
    if trial.name in record.pareto_front:
        side, anchor = (-10, "end") if x > _WIDTH / 2 else (10, "start")
        parts.append(f'<text x="{x + side:.1f}" y="{y - 8:.1f}" text-anchor="{anchor}">{escape(trial.name)}</text>')
    if trial.name == record.winner:
        parts.append(f'<circle cx="{x}" cy="{y}" r="8" fill="none" stroke="{_MARK}" stroke-width="2.5"/>')
    return parts
