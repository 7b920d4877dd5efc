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
from densecast.report import devices, markdown, plot, reasons
from densecast.report.data import Reasons, Report, Row
from densecast.spec.precision import short

# How JPEG and PNG files begin.
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
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

    fastest = max(report.rows, key=lambda row: row.timing.images_per_s)

    def is_fastest(row: Row) -> bool:
        return row is fastest

    environment = _environment()
    environment.filters["short"] = short
    environment.tests["fastest"] = is_fastest
    rendered: str = environment.get_template("page.html.j2").render(
        title=report.spec.name,
        report=report,
        timing=report.rows[0].timing,
        stages=_STAGES,
        others=sorted({name for row in report.rows for name in row.score.others}),
        scatter=Markup(plot.accuracy_against_speed(report)),
        bars=Markup(plot.stage_bars(report)),
        images=[
            (image, {title: _inline(folder, name) for title, name in image.files.items()}) for image in report.images
        ],
        classes=markdown.classes(report),
        devices=devices.sections(report),
        why=markdown.chosen(report),
        how=markdown.how(report),
    )
    return rendered


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
