"""`densecast compare`: how far each rung from the framework to int8 is from the reference, and where it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli._common import Json, Limit, Quiet, Threads, Verbose, bar, emit, set_up

if TYPE_CHECKING:
    from densecast.spec.model import ModelSpec
    from densecast.verbs.compare import Comparison

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

    from densecast.errors import GateFailedError, UsageError
    from densecast.io import codec, files
    from densecast.report import ladder as report
    from densecast.report.page import require_jinja
    from densecast.spec import limits
    from densecast.verbs.compare import climb, pictures, rungs, where
    from densecast.verbs.evaluate import EvaluateOptions

    limits.check_stated("--max-drop", max_drop)  # the others have a range, and no NaN is within
    if max_drop is not None and data is None:
        raise UsageError("--max-drop limits the metric's drop, which needs ground truth: pass --data, not --images.")
    if html is not None:
        require_jinja()
    options = codec.from_plain({"split": split, "limit": limit}, EvaluateOptions, "command line")
    with rungs.opened(reference, candidates or [], threads) as (first, others):
        _check_measured(first.pipeline.spec, max_changed, min_oks)
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


def _check_measured(spec: ModelSpec, max_changed: float | None, min_oks: float | None) -> None:
    """That the model's task has what is to be limited, before anything runs.

    Raises:
        UsageError: it has not.
    """
    from densecast.errors import UsageError

    for name, limit, task, what in (
        ("--max-changed", max_changed, "segmentation", "labels"),
        ("--min-oks", min_oks, "pose", "people"),
    ):
        if limit is not None and spec.task != task:
            raise UsageError(f"{name} limits {what}, and {spec.name} is a model for {spec.task}. Leave it out.")


def _is_beyond(
    found: Comparison,
    tolerance: float | None,
    max_changed: float | None,
    min_oks: float | None,
    max_drop: float | None,
) -> bool:
    """Whether a stated limit is exceeded; what is not a number exceeds every limit.

    Raises:
        UsageError: what is limited was not measured.
    """
    from densecast.spec import limits

    drop = found.metric.reference - found.metric.candidate if found.metric else None
    at_most = (
        ("--tolerance", found.relative_error, tolerance),
        ("--max-changed", found.labels_changed, max_changed),
        ("--max-drop", drop, max_drop),
    )
    kept = [limits.is_at_most(name, value, limit) for name, value, limit in at_most if limit is not None]
    if min_oks is not None:
        kept.append(limits.is_at_least("--min-oks", found.mean_oks, min_oks))
    return not all(kept)
