"""`densecast compare`: how far each stage from the framework to int8 is from the reference, and where it starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from densecast.cli._common import Json, Limit, Quiet, Threads, Verbose, bar, emit, set_up

if TYPE_CHECKING:
    from densecast.pipeline import Pipeline
    from densecast.results.compare import Comparison

_LIMITS = "Limits: exit with 1 beyond them"


class _Limits(NamedTuple):
    """The stated limits; None for those that were not."""

    tolerance: float | None
    max_changed: float | None
    min_oks: float | None
    max_difference: float | None
    max_drop: float | None


def command(
    reference: Annotated[
        Path, typer.Argument(help="A float artifact (its original network), a built one, an .onnx file, a checkpoint.")
    ],
    candidates: Annotated[
        list[Path] | None, typer.Argument(help="Likewise; stages before built artifacts are added by themselves.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of images.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Root of the model's data set instead: measures the metric's change, too.")
    ] = None,
    split: Annotated[str, typer.Option(help="Of the data set: train, val or all.")] = "val",
    locate: Annotated[
        bool, typer.Option("--locate", help="Find the step, and the first inner tensor, where they part.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page with all stages, errors by layer, and drawings.")
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
    max_difference: Annotated[
        float | None,
        typer.Option(
            min=0, help="Of the share of predictions that differs, whatever the task.", rich_help_panel=_LIMITS
        ),
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
    """Show where accuracy goes: outputs, predictions, and the metric of every stage against the reference.

    `densecast compare results A.json B.json` compares two finished results instead.
    """
    set_up(verbose, quiet)
    from dataclasses import replace

    from densecast.errors import GateFailedError, UsageError
    from densecast.io import codec, files
    from densecast.report import accuracy_chain as report
    from densecast.report.page import require_jinja
    from densecast.results.compare import ComparedStage
    from densecast.spec import limits
    from densecast.spec.verb_options import EvaluateOptions
    from densecast.verbs.compare import compare_all, drawings, images_and_truth, localise_all, open_chain

    stated = _Limits(tolerance, max_changed, min_oks, max_difference, max_drop)
    limits.check_stated("--max-drop", max_drop)  # the others have a range, and no NaN is within
    if max_drop is not None and data is None:
        raise UsageError("--max-drop limits the metric's drop, which needs ground truth: pass --data, not --images.")
    if (images is None) == (data is None):
        raise UsageError(
            "compare needs either --images, a folder of them, or --data, the root of the model's data set."
        )
    if html is not None:
        require_jinja()
    options = codec.from_plain({"split": split, "limit": limit}, EvaluateOptions, "command line")
    with open_chain(reference, candidates or [], threads) as (first, others):
        _check_measured(first.pipeline, stated)
        paths, truth = images_and_truth(first.pipeline.spec, images, data, options.split, options.limit)
        with bar("images", quiet) as progress:
            findings = list(localise_all(first, others, paths)) if locate else [None] * len(others)
            comparisons = compare_all(first, others, paths, truth=truth, progress=progress, findings=findings)
        rows = [
            ComparedStage(stage.title, comparison, each)
            for stage, comparison, each in zip(others, comparisons, findings, strict=True)
        ]
        failed = tuple(row.title for row in rows if _is_beyond(row.comparison, stated))
        chain = report.AccuracyChain(first.pipeline.spec.name, first.title, len(paths), tuple(rows), failed)
        if html is not None:
            drawn = drawings.worst_images(first, others, comparisons, paths)
            files.write_text(html, report.page(replace(chain, drawings=drawn)))
    plain = [
        {"title": row.title, **codec.to_plain(row.comparison), "findings": codec.to_plain(row.findings)} for row in rows
    ]
    emit(plain, "\n".join([report.table(chain), *report.explanations(chain)]), json)
    if failed:
        raise GateFailedError(f"beyond the stated limits: {', '.join(failed)}.")


def _check_measured(pipeline: Pipeline, stated: _Limits) -> None:
    """That the model's task measures what is to be limited, before anything runs.

    Raises:
        UsageError: it does not.
    """
    from densecast.errors import UsageError

    measure = pipeline.task.measure.name
    for name, limit, needed, what in (
        ("--max-changed", stated.max_changed, "labels_changed", "labels"),
        ("--min-oks", stated.min_oks, "mean_oks", "people"),
    ):
        if limit is not None and measure != needed:
            raise UsageError(
                f"{name} limits {what}, and {pipeline.spec.name} is a model for {pipeline.task.name}. Leave it out, or "
                "take --max-difference."
            )


def _is_beyond(comparison: Comparison, stated: _Limits) -> bool:
    """Whether a stated limit is exceeded; what is not a number exceeds every limit.

    Raises:
        UsageError: what is limited was not measured.
    """
    from densecast.spec import limits

    drop = comparison.metric.drop if comparison.metric else None
    at_most = (
        *(("--tolerance", error, stated.tolerance) for error in comparison.relative_errors),
        ("--max-changed", comparison.labels_changed, stated.max_changed),
        ("--max-difference", comparison.difference, stated.max_difference),
        ("--max-drop", drop.value if drop else None, stated.max_drop),
    )
    within = [limits.is_at_most(name, value, limit) for name, value, limit in at_most if limit is not None]
    if stated.min_oks is not None:
        within.append(limits.is_at_least("--min-oks", comparison.mean_oks, stated.min_oks))
    return not all(within)
