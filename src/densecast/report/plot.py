"""Small charts as inline SVG: accuracy against speed, and the stage times of each model."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from densecast.report import labels
from densecast.report.data import Report, Row
from densecast.report.labels import Box
from densecast.spec.precision import short

# A chart is drawn twice: for pages, and for telephones, where a wide one would have letters too small to read.
WIDE, NARROW = 620, 350
_HEIGHT, _LEFT, _BOTTOM, _RIGHT = 340, 62, 48, 16
_LEGEND_PX, _TITLE_PX = 20, 22
# Of middling brightness: legible on white and on black.
_BACKEND_COLOURS = ("#e8590c", "#228be6", "#2f9e44", "#be4bdb", "#868e96")
_STAGE_COLOURS = {
    "decode": "#74c0fc",
    "preprocess": "#63e6be",
    "infer": "#ffa94d",
    "postprocess": "#e599f7",
}
_TIP_PX = 3
Place = Callable[[float, float], tuple[float, float]]


def accuracy_against_speed(report: Report, width: int = WIDE) -> str:
    """Draw one point per model: images/s end to end (logarithmic) on x, the score on y, with what noise leaves open.

    Bars go as far as the change from the first model surely lies, and as the parts of the speed's run lie apart.
    """
    rows = [row for row in report.rows if math.isfinite(row.score.value)]
    if not rows:
        return ""
    backends = list(dict.fromkeys(row.backend for row in report.rows))
    legend = _legend(backends, width)
    top = _TITLE_PX + _LEGEND_PX * (1 + max(line for line, _, _ in legend))
    scores = [value for row in rows for value in (row.score.value, *_score_range(report, row))]
    speeds = [value for row in rows for value in (row.timing.images_per_s, *_speed_range(row))]
    x_low, x_high = math.log10(min(speeds) / 1.25), math.log10(max(speeds) * 1.25)
    margin = max((max(scores) - min(scores)) * 0.18, 2e-4)
    y_low, y_high = min(scores) - margin, max(scores) + margin

    def place(speed: float, score: float) -> tuple[float, float]:
        x = _LEFT + (math.log10(speed) - x_low) / (x_high - x_low) * (width - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - (score - y_low) / (y_high - y_low) * (_HEIGHT - _BOTTOM - top)
        return round(x, 1), round(y, 1)

    score = report.rows[0].score
    parts = [frame(f"{score.name} against images per second", width=width)]
    parts += _axes(place, (10**x_low, 10**x_high), (y_low, y_high), top, width)
    direction = "higher is better" if score.better == "higher" else "lower is better"
    parts.append(f'<text x="4" y="14">{escape(score.name)}, {direction}</text>')
    parts.append(
        f'<text x="{(_LEFT + width - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">'
        "images per second, end to end</text>"
    )
    points = [place(row.timing.images_per_s, row.score.value) for row in rows]
    bars: list[Box] = []
    for row, (x, y) in zip(rows, points, strict=True):
        colour = _BACKEND_COLOURS[backends.index(row.backend) % len(_BACKEND_COLOURS)]
        for x1, y1, x2, y2 in _bars(report, row, place):
            parts.append(f'<line x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}" stroke="{colour}" stroke-width="1.5"/>')
            bars.append(Box(min(x1, x2) - 2, min(y1, y2) - 2, max(x1, x2) + 2, max(y1, y2) + 2))
        words = f"{row.backend} {short(row.asked)}: {row.score.value:.4f}, {row.timing.images_per_s:.1f} images/s"
        parts.append(f'<circle cx="{x}" cy="{y}" r="6" fill="{colour}"><title>{escape(words)}</title></circle>')
    area = Box(_LEFT, top, width - 4, _HEIGHT - _BOTTOM)
    names = [short(row.asked) for row in rows]
    for row, (x, y), label in zip(rows, points, labels.place(points, names, area, bars), strict=True):
        colour = _BACKEND_COLOURS[backends.index(row.backend) % len(_BACKEND_COLOURS)]
        if label.is_led:
            end_x = min(max(x, label.box.left), label.box.right)
            end_y = min(max(y, label.box.top), label.box.bottom)
            parts.append(f'<line x1="{x}" x2="{end_x:.1f}" y1="{y}" y2="{end_y:.1f}" class="grid"/>')
        parts.append(f'<text x="{label.x:.1f}" y="{label.y:.1f}" style="fill: {colour}">{short(row.asked)}</text>')
    for line, x, backend in legend:
        y = _TITLE_PX + 8 + _LEGEND_PX * line
        colour = _BACKEND_COLOURS[backends.index(backend) % len(_BACKEND_COLOURS)]
        parts.append(f'<circle cx="{x + 6}" cy="{y}" r="6" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="{y + 4}">{escape(shortened(backend, 30))}</text>')
    return "".join(parts) + "</svg>"


def stage_bars(report: Report, width: int = WIDE) -> str:
    """Draw one bar per model: the median time of each stage per image, end to end."""
    names = [f"{shortened(row.backend, 14)} {short(row.asked)}" for row in report.rows]
    left, bar, top = min(150, round(max(map(labels.width_of, names))) + 12), 22, 16
    stages = _stage_legend(width)
    height = top + (bar + 8) * len(report.rows) + 16 + _LEGEND_PX * (1 + max(line for line, _, _ in stages))
    totals, cells = [], []
    for row in report.rows:
        summaries = row.timing.stages()
        share = {
            name: summaries[name].p50_ms / (row.timing.batch if name == "infer" else 1)
            for name in _STAGE_COLOURS
            if name in summaries
        }
        cells.append(share)
        totals.append(sum(share.values()))
    longest = max(totals)
    parts = [frame("milliseconds of each stage", height, width)]
    for line, (name, share, total) in enumerate(zip(names, cells, totals, strict=True)):
        x, y = float(left), top + (bar + 8) * line
        parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        for stage, value in share.items():
            length = value / longest * (width - left - 82)
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{bar}" fill="{_STAGE_COLOURS[stage]}">'
                f"<title>{stage}: {value:.2f} ms</title></rect>"
            )
            x += length
        parts.append(f'<text x="{x + 6:.1f}" y="{y + 15}">{total:.1f} ms</text>')
    base = top + (bar + 8) * len(report.rows) + 8
    for line, x, name in stages:
        y = base + _LEGEND_PX * line
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{_STAGE_COLOURS[name]}"/>')
        parts.append(f'<text x="{x + 17}" y="{y + 10}">{name}</text>')
    return "".join(parts) + "</svg>"


def frame(title: str, height: int = _HEIGHT, width: int = WIDE) -> str:
    """The opening tag of a chart, with an accessible description."""
    return (
        f'<svg viewBox="0 0 {width} {height}" style="max-width: {round(width * 1.15)}px" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Three to six round tick values between two bounds."""
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    return [round(step * index, 10) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters, with `…` where it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _axes(place: Place, speeds: tuple[float, float], scores: tuple[float, float], top: float, width: int) -> list[str]:
    """Lines and numbers of both axes; numbers that would touch the one before are left out."""
    parts = []
    for score in ticks(*scores):
        _, y = place(speeds[0], score)
        parts.append(f'<line x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{score:.4f}</text>')
    end = -math.inf
    for speed in _marks(*speeds):
        x, _ = place(speed, scores[0])
        parts.append(f'<line x1="{x}" x2="{x}" y1="{top}" y2="{_HEIGHT - _BOTTOM}" class="grid"/>')
        half = labels.width_of(f"{speed:g}") / 2
        if x - half > end + 6:
            parts.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{speed:g}</text>')
            end = x + half
    return parts


def _marks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between two bounds; round numbers closer together where that gives too few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [value for power in powers for factor in (1, 2, 5) if low <= (value := factor * 10.0**power) <= high]
    return marks if len(marks) >= 3 else ticks(low, high)


def _legend(backends: list[str], width: int) -> list[tuple[int, float, str]]:
    """Line and left edge of each engine's entry."""
    return _flowed([(each, 17 + labels.width_of(shortened(each, 30))) for each in backends], width)


def _stage_legend(width: int) -> list[tuple[int, float, str]]:
    return _flowed([(name, 17 + labels.width_of(name)) for name in _STAGE_COLOURS], width)


def _flowed(entries: list[tuple[str, float]], width: int) -> list[tuple[int, float, str]]:
    """Entries of a legend, side by side, in as many lines as they need."""
    line, x = 0, 4.0
    placed: list[tuple[int, float, str]] = []
    for name, length in entries:
        if placed and x + length > width - 4:
            line, x = line + 1, 4.0
        placed.append((line, x, name))
        x += length + 16
    return placed


def _score_range(report: Report, row: Row) -> tuple[float, float] | tuple[()]:
    """Where the score lies with the interval of its change; nothing for the first model, or without an interval."""
    if row.change is None:
        return ()
    first = report.rows[0].score.value
    return first + row.change.low, first + row.change.high


def _speed_range(row: Row) -> tuple[float, float] | tuple[()]:
    spread = row.timing.spread
    if not spread:
        return ()
    speed = row.timing.images_per_s
    return speed / (1 + spread / 2), speed * (1 + spread / 2)


def _bars(report: Report, row: Row, place: Place) -> list[tuple[float, float, float, float]]:
    """Lines from one end of a range to the other, with short lines across their ends."""
    speed, score = row.timing.images_per_s, row.score.value
    lines: list[tuple[float, float, float, float]] = []
    if scores := _score_range(report, row):
        (x, low), (_, high) = (place(speed, each) for each in scores)
        lines += [(x, low, x, high), *((round(x - _TIP_PX, 1), y, round(x + _TIP_PX, 1), y) for y in (low, high))]
    if speeds := _speed_range(row):
        (low, y), (high, _) = (place(each, score) for each in speeds)
        lines += [(low, y, high, y), *((x, round(y - _TIP_PX, 1), x, round(y + _TIP_PX, 1)) for x in (low, high))]
    return lines
