"""A finished comparison as a table, and as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass, field

from densecast.report import curve, markdown
from densecast.report.page import require_jinja
from densecast.verbs.compare import Comparison, Findings


@dataclass(frozen=True, slots=True)
class Step:
    """One rung: how far it is from the reference, and where that starts if it was looked for."""

    title: str
    comparison: Comparison
    findings: Findings | None = None


@dataclass(frozen=True, slots=True)
class Ladder:
    """All rungs of one model against its reference; `failed` names those beyond the stated limits."""

    model: str
    reference: str
    images: int
    steps: tuple[Step, ...]
    failed: tuple[str, ...] = ()
    pictures: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)


def table(ladder: Ladder) -> str:
    """The rungs as a Markdown table."""
    header, align = _columns(ladder)
    return markdown.table(header, rows(ladder), align)


def rows(ladder: Ladder) -> list[list[str]]:
    """One row a rung, as the header of `table` has it."""
    return [_row(step, ladder) for step in ladder.steps]


def told(ladder: Ladder) -> list[str]:
    """A line for each rung that was looked into."""
    lines = []
    for step in ladder.steps:
        if step.findings is None:
            continue
        found = step.findings
        worst = max((point.times_expected for point in found.curve), default=0.0)
        if found.location is not None:
            lines.append(f"{step.title} parts from the reference at {found.location} ({found.runs} runs)")
        elif found.curve:
            last = max(found.curve, key=lambda point: point.entered)
            most = f"; most enters at {last.layer or last.tensor} ({last.kind})" if last.entered > 0 else ""
            lines.append(
                f"{step.title}: rounding explains it; the output is off by {found.curve[-1].error:.1e}, the worst of "
                f"{len(found.curve)} inner tensors by {worst:.1f} times what is expected{most} ({found.runs} runs)"
            )
        else:
            lines.append(f"{step.title}: {found.note}")
    return lines


def page(ladder: Ladder) -> str:
    """HTML with the curves and the pictures inside.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    require_jinja()
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    text = importlib.resources.files("densecast.report").joinpath("ladder.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        ladder=ladder,
        header=_columns(ladder)[0],
        rows=list(zip(ladder.steps, rows(ladder), strict=True)),
        told=told(ladder),
        curves=[
            (step.title, Markup(curve.draw(step.findings)))
            for step in ladder.steps
            if step.findings is not None and step.findings.curve
        ],
        pictures={
            title: {name: base64.b64encode(data).decode("ascii") for name, data in each.items()}
            for title, each in ladder.pictures.items()
        },
    )


def _columns(ladder: Ladder) -> tuple[list[str], str]:
    header, align = ["rung", "ran", "max error", "relative", "mean error", "relative L2", "cosine"], "<<>>>>>"
    if _has_labels(ladder):
        header += ["labels changed", "their margin", "usual margin"]
        align += ">>>"
    if _has_people(ladder):
        header += ["OKS", "vanished", "appeared"]
        align += ">>>"
    if (metric := ladder.steps[0].comparison.metric) is not None:
        header += [metric.metric, "drop [95 %]"]
        align += ">>"
    return header, align


def _row(step: Step, ladder: Ladder) -> list[str]:
    each = step.comparison
    cells = [
        step.title,
        str(each.ran),
        f"{each.max_error:.3g}",
        f"{each.relative_error:.1e}",
        f"{each.mean_error:.3g}",
        f"{each.relative_l2:.1e}",
        f"{each.cosine:.7f}",
    ]
    if _has_labels(ladder):
        cells += [
            "" if each.labels_changed is None else f"{each.labels_changed:.4%}",
            "" if each.changed_margin is None else f"{each.changed_margin_median:.2g} (≤ {each.changed_margin:.2g})",
            "" if each.margin_median is None else f"{each.margin_median:.2g}",
        ]
    if _has_people(ladder):
        cells += ["" if each.mean_oks is None else f"{each.mean_oks:.5f}", str(each.vanished), str(each.appeared)]
    if each.metric is not None:
        cells += [f"{each.metric.candidate:.4f}", "" if each.metric.drop is None else str(each.metric.drop)]
    return cells


def _has_labels(ladder: Ladder) -> bool:
    return any(step.comparison.labels_changed is not None for step in ladder.steps)


def _has_people(ladder: Ladder) -> bool:
    return any(step.comparison.mean_oks is not None for step in ladder.steps)
