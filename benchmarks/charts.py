"""SVG charts for the benchmarks: bars and lines on logarithmic axes, written by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from densecast.io import files

# Colours that colour-blind people tell apart (M. Okabe and K. Ito, "Color Universal Design", 2008).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart of lines: each of `lines` is a name with its points (x, y), both above 0."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def write_bars(path: Path, title: str, rows: Sequence[tuple[str, float, str]]) -> None:
    """Rows of name, value above 0 and colour."""
    low, high = min(value for _, value, _ in rows) / 2, max(value for _, value, _ in rows)
    label, length, step = 460, 420, 18
    parts = [f'<text x="{label}" y="14">{escape(title)}</text>']
    for index, (name, value, colour) in enumerate(rows):
        top = step * (index + 1) + 8
        width = length * math.log(value / low) / math.log(high / low)
        parts += [
            f'<text x="{label - 6}" y="{top + 11}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{label}" y="{top}" width="{width:.0f}" height="13" fill="{colour}"/>',
            f'<text x="{label + width + 4:.0f}" y="{top + 11}">{value:.1f}</text>',
        ]
    _write(path, label + length + 90, step * (len(rows) + 2), parts)


def write_panels(path: Path, panels: Sequence[Panel]) -> None:
    """Charts beside each other, three a row."""
    width, height = 340, 260
    parts = []
    for index, panel in enumerate(panels):
        parts.append(f'<g transform="translate({width * (index % 3)} {height * (index // 3)})">{_lines(panel)}</g>')
    _write(path, width * min(3, len(panels)), height * math.ceil(len(panels) / 3), parts)


def _lines(panel: Panel) -> str:
    left, top, width, height = 50, 34, 270, 170
    points = [point for line in panel.lines.values() for point in line]
    xs, ys = [x for x, _ in points], [y for _, y in points]

    def at(x: float, y: float) -> tuple[float, float]:
        return left + width * _share(x, xs), top + height * (1 - _share(y, ys))

    parts = [
        f'<text x="{left}" y="14" font-weight="bold">{escape(panel.title)}</text>',
        f'<text x="{left}" y="28">{escape(panel.y)}</text>',
        f'<text x="{left + width}" y="{top + height + 30}" text-anchor="end">{escape(panel.x)}</text>',
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>',
    ]
    for value in (min(ys), max(ys)):
        parts.append(f'<text x="{left - 4}" y="{at(xs[0], value)[1] + 4:.0f}" text-anchor="end">{value:.3g}</text>')
    for value in sorted(set(xs)):
        x = at(value, ys[0])[0]
        parts.append(f'<text x="{x:.0f}" y="{top + height + 14}" text-anchor="middle">{value:.4g}</text>')
    for (name, line), colour in zip(panel.lines.items(), COLOURS, strict=False):
        placed = [at(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        row = list(panel.lines).index(name)
        parts.append(f'<text x="{left + 6}" y="{top + 14 + 14 * row}" fill="{colour}">{escape(name)}</text>')
    return "".join(parts)


def _share(value: float, values: Sequence[float]) -> float:
    """Where a value lies between the least and the largest, logarithmically; with some room around a narrow range."""
    low, high = math.log(min(values)), math.log(max(values))
    room = max(0.05 * (high - low), 0.2)
    return (math.log(value) - low + room) / (high - low + 2 * room)


def _write(path: Path, width: int, height: int, parts: Sequence[str]) -> None:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    head += 'font-family="sans-serif" font-size="12">'
    files.write_text(
        path, "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"
    )
