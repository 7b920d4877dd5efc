"""Shows a roofline: which layers take how long, what bounds them, and what is left: as a table and as bars."""

from __future__ import annotations

from html import escape

from densecast.report.markdown import table
from densecast.report.plot import frame
from densecast.runtime.roofline import LayerCost, Roofline

# The layers that take most above the roofline; all of them are in the JSON.
_LINES = 20
_BARS = 30
_LEFT, _BAR, _GAP, _WIDTH, _RIGHT = 250, 14, 4, 640, 90
_REACHED, _LOST = "#1864ab", "#ffc078"
_STYLE = "<style>text{font:11px sans-serif;fill:#343a40}</style>"
_NAME = 46
OWN = 'data-generator="densecast"'
"""What a drawing of densecast's is known by."""


def text(found: Roofline) -> str:
    """A table of the layers that lose most, then what the machine reaches and what the network would."""
    peaks, shown = found.peaks, list(found.by_loss())[:_LINES]
    rows = [_row(layer, found) for layer in shown]
    rest = [layer for layer in found.layers if layer not in shown]
    if rest:
        least = sum(layer.least_ms(peaks) for layer in rest)
        spent = sum(layer.ms for layer in rest)
        rows.append([f"{len(rest)} other layers", "", "", f"{spent:.3f}", f"{least:.3f}", "", "", "", ""])
    header = ["layer", "runs", "type", "ms", "ms at the roofline", "bound by", "share", "GMAC", "MB"]
    rates = ", ".join(f"{name} {rate / 1e12:.2f} TMAC/s" for name, rate in peaks.macs_per_s.items())
    lines = [
        table(header, rows, "<<<>><>>>"),
        f"{found.timed_ms:.2f} ms in {len(found.layers)} layers ({found.inference_ms:.2f} ms the whole inference, "
        f"median of {found.runs}); {found.least_ms:.2f} ms at the roofline of this machine, "
        f"{found.least_ms / max(found.timed_ms, 1e-9):.0%} of it".replace("%", " %"),
        f"peaks on {peaks.threads} threads: {rates}; memory {peaks.bytes_per_s / 1e9:.1f} GB/s",
    ]
    if peaks.load.is_too_high:
        lines.append(f"while the peaks were measured, {peaks.load}: they are too low, and every share is too high")
    return "\n".join(lines)


def _row(layer: LayerCost, found: Roofline) -> list[str]:
    peaks = found.peaks
    return [
        _short(layer.name),
        layer.kind,
        layer.type,
        f"{layer.ms:.3f}",
        f"{layer.least_ms(peaks):.3f}",
        layer.bound(peaks),
        f"{layer.share(peaks):.0%}".replace("%", " %"),
        f"{layer.macs / 1e9:.3f}" if layer.macs else "",
        f"{layer.bytes / 1e6:.2f}",
    ]


def svg(found: Roofline, title: str) -> str:
    """One bar for each of the layers that take longest, in the order in which they run: what the roofline allows, and
    what is lost above it.
    """
    peaks = found.peaks
    longest = sorted(found.layers, key=lambda layer: -layer.ms)[:_BARS]
    shown = [layer for layer in found.layers if layer in longest]
    height = 30 + (_BAR + _GAP) * len(shown) + 30
    most = max((max(layer.ms, layer.least_ms(peaks)) for layer in shown), default=1.0)
    per_ms = (_WIDTH - _LEFT - _RIGHT) / most
    opened = frame(title, height).replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" {OWN} ', 1)
    parts = [opened, _STYLE, f'<text x="8" y="18">{escape(title)}</text>']
    for line, layer in enumerate(shown):
        y = 30 + (_BAR + _GAP) * line
        least = min(layer.least_ms(peaks), layer.ms)
        x = _LEFT + least * per_ms
        parts.append(
            f'<text x="{_LEFT - 6}" y="{y + 11}" text-anchor="end">{escape(_short(layer.name, 38))}</text>'
            f'<rect x="{_LEFT}" y="{y}" width="{least * per_ms:.1f}" height="{_BAR}" fill="{_REACHED}"/>'
            f'<rect x="{x:.1f}" y="{y}" width="{(layer.ms - least) * per_ms:.1f}" height="{_BAR}" fill="{_LOST}">'
            f"<title>{escape(layer.name)}: {layer.ms:.3f} ms, {layer.least_ms(peaks):.3f} at the roofline, bound by "
            f"{layer.bound(peaks)}</title></rect>"
            f'<text x="{_LEFT + layer.ms * per_ms + 5:.1f}" y="{y + 11}">{layer.ms:.2f} ms {layer.type}</text>'
        )
    y = height - 12
    parts.append(f'<rect x="{_LEFT}" y="{y - 10}" width="12" height="12" fill="{_REACHED}"/>')
    parts.append(f'<text x="{_LEFT + 17}" y="{y}">at the roofline</text>')
    parts.append(f'<rect x="{_LEFT + 120}" y="{y - 10}" width="12" height="12" fill="{_LOST}"/>')
    parts.append(f'<text x="{_LEFT + 137}" y="{y}">above it</text>')
    return "".join(parts) + "</svg>\n"


def _short(name: str, most: int = _NAME) -> str:
    """The end of a long name, which tells layers apart."""
    return name if len(name) <= most else f"…{name[1 - most :]}"
