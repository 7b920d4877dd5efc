"""Small charts as inline SVG: accuracy against speed, and the stage times of each model."""

from __future__ import annotations

import math
from html import escape

from densecast.report.data import Report
from densecast.spec.precision import short

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 640, 320, 70, 44, 16, 120
_BACKEND_COLOURS = ("#d9480f", "#1864ab", "#2b8a3e", "#862e9c", "#495057")
_STAGE_COLOURS = {
    "decode": "#74c0fc",
    "preprocess": "#63e6be",
    "infer": "#ffa94d",
    "postprocess": "#e599f7",
}


def accuracy_against_speed(report: Report) -> str:
    """Draw one point per model: images/s end to end (logarithmic) on x, the score on y."""
    speeds = [row.timing.images_per_s for row in report.rows]
    scores = [row.score.value for row in report.rows if math.isfinite(row.score.value)]
    if not scores:
        return ""
    x_low, x_high = math.log10(min(speeds) / 1.3), math.log10(max(speeds) * 1.3)
    margin = max((max(scores) - min(scores)) * 0.25, 2e-4)
    y_low, y_high = min(scores) - margin, max(scores) + margin

    def place(speed: float, score: float) -> tuple[float, float]:
        x = _LEFT + (math.log10(speed) - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - (score - y_low) / (y_high - y_low) * (_HEIGHT - _BOTTOM - _TOP)
        return round(x, 1), round(y, 1)

    parts = [frame(f"{report.rows[0].score.name} against images per second")]
    for score in ticks(y_low, y_high):
        _, y = place(10**x_low, score)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{score:.4f}</text>')
    for speed in _decades(10**x_low, 10**x_high):
        x, _ = place(speed, y_low)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" class="grid"/>')
        parts.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{speed:g}</text>')
    parts.append(
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">'
        "images per second, end to end</text>"
    )
    backends = list(dict.fromkeys(row.backend for row in report.rows))
    for row in report.rows:
        if not math.isfinite(row.score.value):
            continue
        x, y = place(row.timing.images_per_s, row.score.value)
        colour = _BACKEND_COLOURS[backends.index(row.backend) % len(_BACKEND_COLOURS)]
        parts.append(f'<circle cx="{x}" cy="{y}" r="6" fill="{colour}"/>')
        parts.append(f'<text x="{x + 9}" y="{y - 7}">{short(row.asked)}</text>')
    for line, backend in enumerate(backends):
        colour, y = _BACKEND_COLOURS[line % len(_BACKEND_COLOURS)], _TOP + 12 + 20 * line
        parts.append(f'<circle cx="{_WIDTH - _RIGHT + 16}" cy="{y}" r="6" fill="{colour}"/>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 28}" y="{y + 4}">{escape(backend)}</text>')
    return "".join(parts) + "</svg>"


def stage_bars(report: Report) -> str:
    """Draw one bar per model: the median time of each stage per image, end to end."""
    left, bar = 150, 22
    height = _TOP + (bar + 8) * len(report.rows) + 40
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
    parts = [frame("time of each stage", height)]
    for line, (row, share, total) in enumerate(zip(report.rows, cells, totals, strict=True)):
        x, y = float(left), _TOP + (bar + 8) * line
        parts.append(
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(row.backend)} {short(row.asked)}</text>'
        )
        for name, value in share.items():
            width = value / longest * (_WIDTH - left - 80)
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{bar}" fill="{_STAGE_COLOURS[name]}">'
                f"<title>{name}: {value:.2f} ms</title></rect>"
            )
            x += width
        parts.append(f'<text x="{x + 6:.1f}" y="{y + 15}">{total:.1f} ms</text>')
    x = float(left)
    for name, colour in _STAGE_COLOURS.items():
        parts.append(f'<rect x="{x}" y="{height - 24}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="{height - 14}">{name}</text>')
        x += 110
    return "".join(parts) + "</svg>"


def frame(title: str, height: int = _HEIGHT) -> str:
    """The opening tag of a chart, with an accessible description."""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Three to six round tick values between two bounds."""
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    return [round(step * index, 10) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between two bounds."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [value for power in powers for factor in (1, 2, 5) if low <= (value := factor * 10.0**power) <= high]
