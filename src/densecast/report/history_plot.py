"""Charts of several runs as inline SVG: a line a build, from the oldest run to the newest."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from html import escape

from densecast.report import labels
from densecast.report.history import Entry, History
from densecast.report.plot import WIDE, frame, shortened, ticks

_COLOURS = ("#e8590c", "#228be6", "#2f9e44", "#be4bdb", "#868e96", "#f08c00", "#0ca678", "#e64980")
_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 300, 62, 132, 30, 46


def scores(history: History, width: int = WIDE) -> str:
    """Draw the score of each build in each run."""
    return _draw(history, history.metric, lambda entry: entry.score, width, "{:.4f}")


def speeds(history: History, width: int = WIDE) -> str:
    """Draw the images per second of each build in each run."""
    return _draw(history, "images per second", lambda entry: entry.images_per_s, width, "{:g}")


def _draw(history: History, title: str, value: Callable[[Entry], float], width: int, form: str) -> str:
    found = [value(entry) for entry in history.entries]
    margin = max((max(found) - min(found)) * 0.1, abs(max(found)) * 1e-3, 1e-6)
    low, high = min(found) - margin, max(found) + margin
    step = (width - _LEFT - _RIGHT) / max(1, len(history.runs) - 1)

    def place(run: str, number: float) -> tuple[float, float]:
        x = _LEFT + history.runs.index(run) * step
        return round(x, 1), round(_HEIGHT - _BOTTOM - (number - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP), 1)

    parts = [frame(f"{title} by run", _HEIGHT, width), f'<text x="4" y="14">{escape(title)}</text>']
    for tick in ticks(low, high):
        _, y = place(history.runs[0], tick)
        parts.append(f'<line x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{form.format(tick)}</text>')
    end = -1e9
    for run in history.runs:
        x, _ = place(run, low)
        text = shortened(run.rstrip("/").rpartition("/")[2] or run, 14)
        half = labels.width_of(text) / 2
        if x - half > end + 8:
            parts.append(
                f'<text x="{max(x, half)}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{escape(text)}</text>'
            )
            end = x + half
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 8}">run, oldest first</text>')
    ends: list[tuple[float, float]] = []
    for number, build in enumerate(history.builds):
        colour = _COLOURS[number % len(_COLOURS)]
        own = [entry for entry in history.entries if entry.build == build]
        points = [place(entry.run, value(entry)) for entry in own]
        line = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for entry, (x, y) in zip(own, points, strict=True):
            words = f"{build}, {entry.run}: {form.format(value(entry))}"
            parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"><title>{escape(words)}</title></circle>')
        ends.append(points[-1])
    names = [shortened(build, 16) for build in history.builds]
    for number, (x, y), level in zip(range(len(ends)), ends, _apart([y for _, y in ends]), strict=True):
        colour, left = _COLOURS[number % len(_COLOURS)], width - _RIGHT + 14
        parts.append(f'<line x1="{x}" x2="{left - 3}" y1="{y}" y2="{level:.1f}" class="grid"/>')
        parts.append(f'<text x="{left}" y="{level + 4:.1f}" style="fill: {colour}">{escape(names[number])}</text>')
    return "".join(parts) + "</svg>"


def _apart(levels: list[float]) -> list[float]:
    """The heights moved as little as it takes, in their order, until texts beside them are a line apart."""
    order = sorted(range(len(levels)), key=lambda each: levels[each])
    placed = list(levels)
    for above, below in itertools.pairwise(order):
        placed[below] = max(placed[below], placed[above] + labels.LINE_PX)
    limit = _HEIGHT - _BOTTOM + 0.0
    for each in reversed(order):
        placed[each] = min(placed[each], limit)
        limit = placed[each] - labels.LINE_PX
    return placed
