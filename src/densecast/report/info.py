"""What a model is, as text: tensors, totals, origin, and a table of its layers."""

from __future__ import annotations

from collections import Counter

from densecast.report import markdown
from densecast.results.info import ModelInfo
from densecast.spec.layer import Layer

_SHOWN_LABELS = 24
_SHOWN_LAYERS = 40


def text_of(info: ModelInfo, *, every_layer: bool = False) -> str:
    """The info as lines, with the largest layers in a table, or all of them."""
    lines = [f"{info.path}: {info.kind}" + (f", {info.name} ({info.task})" if info.name and info.task else "")]
    lines += [_row("input", str(tensor)) for tensor in info.inputs]
    lines += [_row("output", str(tensor)) for tensor in info.outputs]
    if info.labels:
        more = f" … ({len(info.labels)})" if len(info.labels) > _SHOWN_LABELS else ""
        lines.append(_row("labels", ", ".join(info.labels[:_SHOWN_LABELS]) + more))
    if info.preprocess is not None:
        lines.append(_row("preprocess", _in_words(info.preprocess)))
    if info.parameters is not None:
        lines.append(_row("parameters", f"{info.parameters:,}"))
    if info.macs is not None and info.at_shape is not None:
        at = "×".join(map(str, info.at_shape))
        lines.append(_row("MACs", f"{info.macs / 1e9:,.3f} G at {at} (multiplications with an addition, one run)"))
    if info.size_bytes is not None:
        lines.append(_row("size", f"{info.size_bytes / 1e6:,.1f} MB"))
    if info.backend is not None:
        lines.append(_row("built for", f"{info.backend}, {info.asked} asked, {info.ran} ran"))
    if info.layers:
        kinds = Counter(layer.precision for layer in info.layers if layer.precision)
        lines.append(_row("layers", f"{len(info.layers)}: " + ", ".join(f"{n} {name}" for name, n in kinds.items())))
    lines += [_row(what, text) for what, text in info.origin.items() if text]
    lines += [f"- {note}" for note in info.notes]
    if info.layers:
        lines += ["", _table(info.layers, every_layer=every_layer)]
    return "\n".join(lines)


def _row(what: str, text: str) -> str:
    return f"{what:<13} {text}"


def _in_words(preprocess: dict[str, object]) -> str:
    plain = (f"{name} {_value(value)}" for name, value in preprocess.items() if value not in (None, False))
    return ", ".join(plain)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(_value(each) for each in reversed(list(value.values())) if each is not None)
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(_value(each) for each in value) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _table(layers: tuple[Layer, ...], *, every_layer: bool) -> str:
    shown = set(layers)
    if not every_layer and len(layers) > _SHOWN_LAYERS:
        shown = set(sorted(layers, key=lambda layer: (layer.macs or 0, layer.parameters))[-_SHOWN_LAYERS:])
    rows = [
        [
            layer.name,
            layer.operator,
            "×".join(map(str, layer.output_shape)),
            f"{layer.parameters:,}",
            "" if layer.macs is None else f"{layer.macs / 1e6:,.1f}",
            layer.precision,
        ]
        for layer in layers
        if layer in shown
    ]
    header = ["layer", "operator", "output", "parameters", "MMACs", "precision"]
    text = markdown.table(header, rows, "<<<>><")
    left = len(layers) - len(rows)
    return f"{text}\n{left} smaller layers are not shown (--all)." if left else text
