"""Renders a comparison as a Markdown table and as one self-contained HTML file."""

from __future__ import annotations

import base64
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass, field

from densecast.report import curve, markdown
from densecast.report.page import require_jinja
from densecast.results.compare import ComparedStage, Findings

# Measures that have columns of their own, in words that people use for them.
_LABELS, _PEOPLE = "labels_changed", "mean_oks"


@dataclass(frozen=True, slots=True)
class AccuracyChain:
    """All stages of one model against its reference; `failed` names those beyond the stated limits.

    `drawings` are JPEG files by title, for each image by its own title.
    """

    model: str
    reference: str
    images: int
    stages: tuple[ComparedStage, ...]
    failed: tuple[str, ...] = ()
    drawings: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)


def table(chain: AccuracyChain) -> str:
    """The stages as a Markdown table."""
    header, align = _columns(chain)
    return markdown.table(header, rows(chain), align)


def rows(chain: AccuracyChain) -> list[list[str]]:
    """One row per stage, matching the header of `table`."""
    return [_row(stage, chain) for stage in chain.stages]


def explanations(chain: AccuracyChain) -> list[str]:
    """A line for each additional output of a stage, and one for each stage whose divergence was localised."""
    lines = []
    for stage in chain.stages:
        for name, error in stage.comparison.other_outputs.items():
            lines.append(
                f"{stage.title}: output {name} is off by {error.max_error:.3g} at most, {error.relative_error:.1e} of "
                f"its largest value (relative L2 {error.relative_l2:.1e})"
            )
        if stage.findings is not None:
            lines.append(_explanation(stage.title, stage.findings))
    return lines


def page(chain: AccuracyChain) -> str:
    """Render an HTML page with embedded curves and drawings.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    require_jinja()
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    folder = importlib.resources.files("densecast.report")
    text = folder.joinpath("accuracy_chain.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        chain=chain,
        header=_columns(chain)[0],
        rows=list(zip(chain.stages, rows(chain), strict=True)),
        has_labels=_has(chain, _LABELS),
        explanations=explanations(chain),
        curves=[
            (stage.title, Markup(curve.draw(stage.findings)))
            for stage in chain.stages
            if stage.findings is not None and stage.findings.curve
        ],
        drawings={
            title: {name: base64.b64encode(data).decode("ascii") for name, data in each.items()}
            for title, each in chain.drawings.items()
        },
    )


def _explanation(title: str, findings: Findings) -> str:
    worst = max((point.times_expected for point in findings.curve), default=0.0)
    if findings.location is not None:
        return f"{title} parts from the reference at {findings.location} ({findings.runs} runs)"
    if not findings.curve:
        return f"{title}: {findings.note}"
    last = max(findings.curve, key=lambda point: point.entered)
    most = f"; most enters at {last.layer or last.tensor} ({last.kind})" if last.entered > 0 else ""
    return (
        f"{title}: rounding explains it; the output is off by {findings.curve[-1].error:.1e}, the worst of "
        f"{len(findings.curve)} inner tensors by {worst:.1f} times what is expected{most} ({findings.runs} runs)"
    )


def _columns(chain: AccuracyChain) -> tuple[list[str], str]:
    header, align = ["stage", "ran", "max error", "relative", "mean error", "relative L2", "cosine"], "<<>>>>>"
    if _has(chain, _LABELS):
        header += ["labels changed"]
        align += ">"
    elif _has(chain, _PEOPLE):
        header += ["OKS", "vanished", "appeared"]
        align += ">>>"
    else:
        header += [chain.stages[0].comparison.measure.replace("_", " ")]
        align += ">"
    if _has_margins(chain):
        header += ["their margin", "usual margin"]
        align += ">>"
    if (metric := chain.stages[0].comparison.metric) is not None:
        header += [metric.metric, "drop [95 %]"]
        align += ">>"
    return header, align


def _row(stage: ComparedStage, chain: AccuracyChain) -> list[str]:
    each = stage.comparison
    cells = [
        stage.title,
        str(each.ran),
        f"{each.max_error:.3g}",
        f"{each.relative_error:.1e}",
        f"{each.mean_error:.3g}",
        f"{each.relative_l2:.1e}",
        f"{each.cosine:.7f}",
    ]
    if _has(chain, _LABELS):
        cells += ["" if each.labels_changed is None else f"{each.labels_changed:.4%}"]
    elif _has(chain, _PEOPLE):
        cells += ["" if each.mean_oks is None else f"{each.mean_oks:.5f}", str(each.vanished), str(each.appeared)]
    else:
        cells += ["" if each.difference is None else f"{each.difference:.4%}"]
    if _has_margins(chain):
        cells += [
            "" if each.changed_margin is None else f"{each.changed_margin_median:.2g} (≤ {each.changed_margin:.2g})",
            "" if each.margin_median is None else f"{each.margin_median:.2g}",
        ]
    if each.metric is not None:
        cells += [f"{each.metric.candidate:.4f}", "" if each.metric.drop is None else str(each.metric.drop)]
    return cells


def _has(chain: AccuracyChain, measure: str) -> bool:
    return chain.stages[0].comparison.measure == measure


def _has_margins(chain: AccuracyChain) -> bool:
    return any(stage.comparison.margin_median is not None for stage in chain.stages)
