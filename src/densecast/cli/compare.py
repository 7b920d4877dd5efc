"""`densecast compare`: measure how far each stage from the framework to int8 is from the reference."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Json, Limit, Quiet, Threads, Verbose, bar, emit, placed, set_up
from densecast.cli._effects import Typed
from densecast.spec.data_options import FOLDERS, DataOptions
from densecast.spec.store_options import StoreOptions
from densecast.spec.verb_options import CompareLimits

if TYPE_CHECKING:
    from densecast.measure.distribute.local import Progress
    from densecast.results.compare import CompareResult, Comparison
    from densecast.spec.model import ModelSpec
    from densecast.verbs.stored.compare_models import Models

Drawings = dict[str, dict[str, bytes]]

Reference = Annotated[
    Path,
    typer.Argument(
        help="A float artifact (runs the original network), a built artifact, an .onnx file or a checkpoint."
    ),
]
Candidates = Annotated[
    list[Path] | None,
    typer.Argument(help="Models to compare, of the same kinds; intermediate stages are added automatically."),
]


_KEPT = tuple(each.name for each in fields(StoreOptions) if each.name != "keep_predictions")


@_options.takes(None, {"own": FOLDERS, "stored": _KEPT}, stated=CompareLimits, own=DataOptions, stored=StoreOptions)
def command(
    context: typer.Context,
    reference: Reference,
    stated: _options.Values,
    own: _options.Values,
    stored: _options.Values,
    candidates: Candidates = None,
    images: Annotated[Path | None, typer.Option(help="An image, or a folder of them.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Root of the model's data set, instead of --images: also measures the change of the metric."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the data set: train, val or all.")] = "val",
    locate: Annotated[
        bool, typer.Option("--locate", help="Locate the pipeline step and the first intermediate tensor that diverge.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write an HTML page with all stages, errors by layer, and drawings.")
    ] = None,
    limit: Limit = None,
    threads: Threads = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Show where accuracy is lost: outputs, predictions and metric of every stage against the reference.

    `densecast compare results A.json B.json` compares two finished results instead.
    """
    set_up(verbose, quiet)
    from densecast.cli import _stored
    from densecast.io import codec
    from densecast.report import own_pages
    from densecast.spec.verb_options import EvaluateOptions
    from densecast.verbs.stored import compare_models

    allowed = codec.from_plain(stated, CompareLimits, "command line")
    kept = codec.from_plain(stored, StoreOptions, "command line")
    _check_given(allowed, images, data)
    if data is None:
        cure = "says how ground truth is read, and images have none: pass --data, or leave it out."
        Typed(context).refuse(cure, "split", "own_dataset", "own_allow_ignored")
    if html is not None:
        own_pages.require(html)
    options = codec.from_plain({"split": split, "limit": limit}, EvaluateOptions, "command line")
    models = compare_models.Models(
        reference, tuple(candidates or ()), images, placed(data, own), options.split, options.limit, threads
    )
    if kept.store is not None:
        _check_stored(kept, models, allowed, is_drawn=html is not None, is_located=locate)
    with bar("images", quiet) as progress:
        if kept.shard is not None:
            _stored.tell_shard(compare_models.compare_shard(models, stored=kept, apart=True, progress=progress), json)
            return
        done = _from_records if kept.store is not None else _computed
        result, drawn = done(models, kept, allowed, progress, locate=locate, draw=html is not None)
    _tell(result, drawn, allowed, html, json)


def _tell(result: CompareResult, drawn: Drawings, allowed: CompareLimits, html: Path | None, json: Path | None) -> None:
    """Print a comparison and write its page.

    Raises:
        GateFailedError: a stage is beyond the limits.
    """
    from densecast.errors import GateFailedError
    from densecast.io import codec, files
    from densecast.report import accuracy_chain as report

    failed = tuple(stage.title for stage in result.stages if _is_beyond(stage.comparison, allowed))
    chain = report.AccuracyChain(result.model, result.reference, result.images, result.stages, failed, drawn)
    if html is not None:
        files.write_text(html, report.page(chain))
    plain = [
        {"title": stage.title, **codec.to_plain(stage.comparison), "findings": codec.to_plain(stage.findings)}
        for stage in result.stages
    ]
    notes = [f"note: {remark}" for remark in result.remarks]
    emit(plain, "\n".join([report.table(chain), *report.explanations(chain), *notes]), json)
    if failed:
        raise GateFailedError(f"beyond the stated limits: {', '.join(failed)}.")


def _computed(
    models: Models, _: StoreOptions, allowed: CompareLimits, progress: Progress, *, locate: bool, draw: bool
) -> tuple[CompareResult, Drawings]:
    """The result, and with `draw` the images that differ most."""
    from densecast.results.compare import CompareResult
    from densecast.verbs.compare import compare_stages, drawings, image_names, images_and_truth, open_chain

    with open_chain(models.reference, models.candidates, models.threads) as (first, others):
        spec = first.pipeline.spec
        _check_measured(spec, allowed)
        paths, truth = images_and_truth(spec, models.images, models.data, models.split, models.limit)
        stages = compare_stages(first, others, paths, truth=truth, locate=locate, progress=progress)
        compared = [stage.comparison for stage in stages]
        drawn = drawings.worst_images(first, others, compared, image_names.by_name(paths)) if draw else {}
        return CompareResult(spec.name, first.title, len(paths), stages), drawn


def _from_records(
    models: Models, kept: StoreOptions, _: CompareLimits, progress: Progress, *, locate: bool, draw: bool
) -> tuple[CompareResult, Drawings]:
    """The same with records, from a process of its own; what is drawn and located is opened once more."""
    from densecast.verbs.compare import drawings, located, open_chain
    from densecast.verbs.stored.compare_models import compare_stored

    result, images = compare_stored(models, kept, apart=True, progress=progress)
    if locate:
        result = located(result, models, list(images.values()))
    if not draw:
        return result, {}
    with open_chain(models.reference, models.candidates, models.threads) as (first, others):
        return result, drawings.worst_images(first, others, [stage.comparison for stage in result.stages], images)


def _check_stored(
    kept: StoreOptions, models: Models, stated: CompareLimits, *, is_drawn: bool, is_located: bool
) -> None:
    """Check that limits fit the model's task, and that a shard is asked for nothing that all images are needed for.

    Raises:
        UsageError: they do not.
    """
    from densecast.errors import UsageError
    from densecast.verbs.compare.stage import spec_source_among

    if kept.shard is not None:
        limited = [each.name for each in fields(CompareLimits)]
        asked = {f"--{name.replace('_', '-')}": getattr(stated, name) is not None for name in limited}
        asked |= {"--html": is_drawn, "--locate": is_located}
        idle = next((name for name, is_asked in asked.items() if is_asked), None)
        if idle is not None:
            raise UsageError(f"{idle} is of all images: run the same command without --shard when all are done.")
    source = spec_source_among([models.reference, *models.candidates])
    if source is not None:
        _check_measured(source.spec, stated)


def _check_given(stated: CompareLimits, images: Path | None, data: Path | None) -> None:
    """That there is something to compare on, and ground truth where the metric is limited.

    Raises:
        UsageError: there is not.
    """
    from densecast.errors import UsageError
    from densecast.spec import limits

    limits.check_stated("--max-drop", stated.max_drop)  # the others have a range, and no NaN is within
    if stated.max_drop is not None and data is None:
        raise UsageError("--max-drop limits the metric's drop, which needs ground truth: pass --data, not --images.")
    if (images is None) == (data is None):
        raise UsageError(
            "compare needs either --images, a file or a folder of them, or --data, the root of the model's data set."
        )


def _check_measured(spec: ModelSpec, stated: CompareLimits) -> None:
    """Check, before anything runs, that the model's task measures the limited quantities.

    Raises:
        UsageError: it does not.
    """
    from densecast.errors import UsageError
    from densecast.tasks._base import TASKS

    task = TASKS.load_trusted(spec.task)
    measure = task.measure.name
    for name, limit, needed, what in (
        ("--max-changed", stated.max_changed, "labels_changed", "labels"),
        ("--min-oks", stated.min_oks, "mean_oks", "people"),
    ):
        if limit is not None and measure != needed:
            raise UsageError(
                f"{name} limits {what}, and {spec.name} is a model for {task.name}. Leave it out, or "
                "take --max-difference."
            )


def _is_beyond(comparison: Comparison, stated: CompareLimits) -> bool:
    """Whether a stated limit is exceeded; NaN exceeds every limit.

    Raises:
        UsageError: what is limited was not measured.
    """
    from densecast.spec import limits

    drop = comparison.metric.drop if comparison.metric else None
    at_most = (
        *(("--tolerance", error, stated.tolerance) for error in comparison.relative_errors),
        ("--max-changed", comparison.labels_changed, stated.max_changed),
        ("--max-difference", comparison.difference, stated.max_difference),
        ("--max-drop", 100 * drop.value if drop else None, stated.max_drop),
    )
    within = [limits.is_at_most(name, value, limit) for name, value, limit in at_most if limit is not None]
    if stated.min_oks is not None:
        within.append(limits.is_at_least("--min-oks", comparison.mean_oks, stated.min_oks))
    return not all(within)
