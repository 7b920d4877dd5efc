"""`densecast compare`: how far each rung from the framework to int8 is from the reference, and where it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli._common import Json, Limit, Quiet, Threads, Verbose, bar, emit, set_up

if TYPE_CHECKING:
    from densecast.compare import Comparison

_LIMITS = "Limits: exit with 1 beyond them"


def command(
    reference: Annotated[
        Path, typer.Argument(help="A float artifact (its original network), a built one, an .onnx file, a checkpoint.")
    ],
    candidates: Annotated[
        list[Path] | None, typer.Argument(help="Likewise; rungs before built artifacts are added by themselves.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of images.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Root of the model's data set instead: measures the metric's change, too.")
    ] = None,
    split: Annotated[str, typer.Option(help="Of the data set: train, val or all.")] = "val",
    locate: Annotated[
        bool, typer.Option("--locate", help="Find the stage, and the first inner tensor, where they part.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page with the ladder, errors by layer, and pictures.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Of the largest error over the largest output.", rich_help_panel=_LIMITS),
    ] = None,
    max_changed: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of the share of labels changed.", rich_help_panel=_LIMITS)
    ] = None,
    min_oks: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of the people's mean similarity.", rich_help_panel=_LIMITS)
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option(help="Of the metric's drop, in its own unit (0.005).", rich_help_panel=_LIMITS)
    ] = None,
    limit: Limit = None,
    threads: Threads = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Show where accuracy goes: outputs, labels or people, and the metric of every rung against the reference.

    `densecast compare results A.json B.json` compares two finished results instead.
    """
    set_up(verbose, quiet)
    from dataclasses import replace

    from densecast.compare import climb, pictures, rungs, where
    from densecast.core import codec, files
    from densecast.core.errors import GateFailedError
    from densecast.evaluate import EvaluateOptions
    from densecast.report import ladder as report
    from densecast.report.page import require_jinja

    if html is not None:
        require_jinja()
    options = codec.from_plain({"split": split, "limit": limit}, EvaluateOptions, "command line")
    with rungs.opened(reference, candidates or [], threads) as (first, others):
        paths, truth = rungs.chosen_images(first.pipeline.spec, images, data, options.split, options.limit)
        with bar("images", quiet) as progress:
            findings = list(where.find_all(first, others, paths)) if locate else [None] * len(others)
            found = climb(first, others, paths, truth=truth, progress=progress, findings=findings)
        steps = [
            report.Step(rung.title, comparison, finding)
            for rung, comparison, finding in zip(others, found, findings, strict=True)
        ]
        failed = tuple(
            step.title for step in steps if _is_beyond(step.comparison, tolerance, max_changed, min_oks, max_drop)
        )
        made = report.Ladder(first.pipeline.spec.name, first.title, len(paths), tuple(steps), failed)
        if html is not None:
            drawn = pictures.worst(first, others, found, paths)
            files.write_text(html, report.page(replace(made, pictures=drawn)))
    lines = [report.table(made), *report.told(made)]
    plain = [
        {"title": step.title, **codec.to_plain(step.comparison), "findings": codec.to_plain(step.findings)}
        for step in steps
    ]
    emit(plain, "\n".join(lines), json)
    if failed:
        raise GateFailedError(f"beyond the stated limits: {', '.join(failed)}.")


def _is_beyond(
    found: Comparison,
    tolerance: float | None,
    max_changed: float | None,
    min_oks: float | None,
    max_drop: float | None,
) -> bool:
    """Whether a stated limit is exceeded; what is not a number exceeds every limit."""
    drop = found.metric.reference - found.metric.candidate if found.metric else None
    return (
        (tolerance is not None and not found.relative_error <= tolerance)
        or (max_changed is not None and (found.labels_changed or 0.0) > max_changed)
        or (min_oks is not None and found.mean_oks is not None and found.mean_oks < min_oks)
        or (max_drop is not None and drop is not None and not drop <= max_drop)
    )
