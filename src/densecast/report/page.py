"""Renders the report as one self-contained HTML file."""

from __future__ import annotations

import base64
import importlib.resources
import importlib.util
from pathlib import Path
from typing import Any

from densecast.artifact import CompiledArtifact
from densecast.errors import BadInputError, MissingExtraError
from densecast.io import files
from densecast.report import class_bars, devices, history_plot, markdown, plot, reasons, verdict
from densecast.report.data import DrawnImage, Reasons, Report, Row
from densecast.report.history import History
from densecast.spec.precision import short

# How JPEG and PNG files begin.
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_WIDTHS = (plot.WIDE, plot.NARROW)
# More classes than these have no legend of colours that anybody could tell apart.
_MOST_COLOURS = 40
_STAGES = ("decode", "preprocess", "infer", "postprocess", "end_to_end")


def require_jinja() -> None:
    """Raise an error that says what to install if jinja2 is missing.

    Raises:
        MissingExtraError: no jinja2.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtraError.of("report", "report.html")


def render(report: Report, folder: Path) -> str:
    """Render HTML with embedded charts and the images of `folder`.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    require_jinja()
    from markupsafe import Markup

    answer = verdict.of(report)

    def is_taken(row: Row) -> bool:
        return row is answer.row

    environment = _environment()
    environment.filters["short"] = short
    environment.tests["taken"] = is_taken
    rendered: str = environment.get_template("page.html.j2").render(
        title=report.spec.name,
        report=report,
        timing=report.rows[0].timing,
        stages=_STAGES,
        others=sorted({name for row in report.rows for name in row.score.others}),
        verdict=answer,
        # Each chart twice, for wide and for narrow pages.
        scatter=[Markup(plot.accuracy_against_speed(report, width)) for width in _WIDTHS],
        bars=[Markup(plot.stage_bars(report, width)) for width in _WIDTHS],
        class_bars=[Markup(class_bars.draw(report, answer.row, width)) for width in _WIDTHS],
        images=[_shown(image, folder) for image in report.images],
        legend=_legend(report),
        confusion=_confusion(report, answer.row),
        classes=markdown.classes(report),
        devices=devices.sections(report),
        why=markdown.chosen(report),
        how=markdown.how(report),
    )
    return rendered


def _shown(image: DrawnImage, folder: Path) -> tuple[DrawnImage, list[tuple[str, str, str]]]:
    """An image with its drawings: title, value of the metric, and the file's contents."""
    drawn = []
    for title, name in image.files.items():
        value = f"{image.values[title]:.4f}" if title in image.values else ""
        drawn.append((title, value, _inline(folder, name)))
    return image, drawn


def _confusion(report: Report, row: Row) -> list[tuple[str, list[tuple[str, float, str]]]]:
    """By class that is there: shares of its pixels by class that was predicted, as text and number, with a hint."""
    labels = report.spec.labels
    if len(row.confusion) != len(labels):
        return []
    lines = []
    for there, pixels in zip(labels, row.confusion, strict=True):
        total = sum(pixels)
        shares = [count / total if total else 0.0 for count in pixels]
        lines.append(
            (
                there,
                [
                    (f"{100 * share:.0f}" if share >= 0.005 else "", share, f"{there} taken for {name}: {share:.2%}")
                    for name, share in zip(labels, shares, strict=True)
                ],
            )
        )
    return lines


def _legend(report: Report) -> list[tuple[str, tuple[int, int, int]]]:
    """The classes' names and colours, of models that have them."""
    spec = report.spec
    if not spec.palette or len(spec.palette) != len(spec.labels) or len(spec.labels) > _MOST_COLOURS:
        return []
    return list(zip(spec.labels, spec.palette, strict=True))


def render_build(artifact: CompiledArtifact) -> str:
    """Render how one build was chosen.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    require_jinja()
    choices = Reasons.of(artifact.manifest)
    rendered: str = (
        _environment()
        .get_template("build.html.j2")
        .render(title=artifact.folder.name, summary=reasons.summary(artifact), sections=reasons.sections(choices))
    )
    return rendered


def render_history(history: History) -> str:
    """Render several runs beside each other.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    require_jinja()
    from markupsafe import Markup

    rendered: str = (
        _environment()
        .get_template("history.html.j2")
        .render(
            title=f"{history.model}, {len(history.runs)} runs",
            history=history,
            scores=[Markup(history_plot.scores(history, width)) for width in _WIDTHS],
            speeds=[Markup(history_plot.speeds(history, width)) for width in _WIDTHS],
        )
    )
    return rendered


def _environment() -> Any:
    """Jinja environment for the templates of this folder: autoescaping, undefined variables are errors."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = importlib.resources.files("densecast.report")
    loader = FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8"))
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False, loader=loader)


def _inline(folder: Path, name: str) -> str:
    """A picture of the report's own folder, for embedding: a report.json may come from anybody.

    Raises:
        BadInputError: it lies elsewhere, also by a link, or is no JPEG or PNG.
    """
    path = files.real(folder / name)
    if not path.is_relative_to(files.real(folder)):
        raise BadInputError(f"the report's picture {name!r} lies outside {folder}: only pictures within are embedded.")
    if not path.is_file():
        raise BadInputError(f"the report's picture {name!r} is not in {folder}. Make the report again.")
    contents = path.read_bytes()
    if not contents.startswith(_PICTURES):
        raise BadInputError(f"the report's picture {name!r} is no JPEG or PNG file.")
    return base64.b64encode(contents).decode("ascii")
