"""`densecast run`: take a network through every step and write one report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli import _effects, _options, _source, _source_options
from densecast.cli._common import Device, Json, Quiet, Verbose, emit, set_up, steps
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions
from densecast.spec.verb_options import (
    BenchmarkOptions,
    EvaluateOptions,
    ExportOptions,
    MaxDrop,
    TuneOptions,
)

if TYPE_CHECKING:
    from densecast.report import Report
    from densecast.verbs.reproduce import RunOptions

_Model = Annotated[
    str | None,
    typer.Argument(help="What export takes - a zoo model's name, a file, a folder - or an exported artifact."),
]
_DataPath = Annotated[
    Path | None,
    typer.Option(
        help="Your images and masks, the root of the model's data set, or a data.toml; default: the model's own "
        "data set, from an environment variable or generated. Without masks or data, accuracy is not measured."
    ),
]
_Backends = Annotated[str, typer.Option(help="Engines, comma-separated.")]
_Precisions = Annotated[
    str | None,
    typer.Option(
        help="Precisions, comma-separated; default: fp32,fp16 and, if there are images to calibrate on, int8."
    ),
]
_Tuned = Annotated[
    bool, typer.Option("--tune", help="For fp16 and int8: build the fastest variant, as measured on this machine.")
]
_Points = Annotated[
    float | None,
    typer.Option(
        min=0.0, help="Build an int8 model that loses at most this many points of the metric, else a 16-bit one."
    ),
]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Repeat all measurements, even if earlier ones could be reused.")]
_EXPORT = (
    "variant", "input_name", "output_name", "weights", "config", "only_main_output", "exporter", "name",
    "slide", "stride",
)  # fmt: skip


@_options.takes(
    {"quantize": "calibration-"},
    {"export": _EXPORT, "quantize": ("split",), "evaluate": ("split", "limit"), "search": ("seconds",)},
    export=ExportOptions,
    shape=InputShape,
    quantize=QuantizeOptions,
    evaluate=EvaluateOptions,
    search=MaxDrop,
    own=DataOptions,
)
@_source_options.takes
def command(
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option(help="Folder for all artifacts and the report.")],
    export: _options.Values,
    shape: _options.Values,
    quantize: _options.Values,
    evaluate: _options.Values,
    search: _options.Values,
    own: _options.Values,
    model: _Model = None,
    data: _DataPath = None,
    typed: _source_options.Typed,
    backends: _Backends = "openvino,onnxruntime",
    precisions: _Precisions = None,
    device: Device = "",
    tuned: _Tuned = False,
    max_drop: _Points = None,
    fresh: _Fresh = False,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Export, build, evaluate and benchmark in every precision, and write the report."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.verbs.reproduce import reproduce

    options = _run_options(backends, precisions, shape, quantize, evaluate, (tuned, max_drop, search["seconds"]))
    options = replace(options, fresh=fresh, device=device)
    _refuse_idle(_effects.Typed(context), options)
    source = _source_of(context, model, typed, export, options)
    if source is not None:
        options = replace(options, export=source.options)
    with steps(quiet) as progress:
        report = reproduce(
            source.named.source if source is not None else Path(str(model)),
            out,
            options,
            data=Data(data, codec.from_plain(own, DataOptions, "command line")),
            checkpoint=typed.checkpoint,
            spec=typed.spec,
            labels=source.labels if source is not None else None,
            preprocess=source.preprocess if source is not None else None,
            given=source.given if source is not None else (),
            progress=progress,
        )
    emit(codec.to_plain(report), text_of(report, out), json)


def _refuse_idle(typed: _effects.Typed, options: RunOptions) -> None:
    """Refuse options that have no effect on these builds.

    Raises:
        UsageError: names the first one.
    """
    if options.precisions is not None and "qint8_mixed_float16" not in options.precisions:
        typed.refuse("is for int8: add it to --precisions, or leave this out.", "quantize_")
    if options.tune is None and options.max_drop is None:
        typed.refuse("is for --tune and --max-drop: add one, or leave this out.", "search_")


def _source_of(
    context: typer.Context,
    model: str | None,
    typed: _source_options.Typed,
    export: _options.Values,
    options: RunOptions,
) -> _source.Source | None:
    """What is to be exported; None for an exported artifact.

    Raises:
        MissingExtraError: what reads it is not installed; names all else that the run lacks as well.
    """
    from densecast.errors import Lacking, MissingExtraError
    from densecast.verbs.reproduce import plan
    from densecast.verbs.reproduce.model import is_artifact

    if typed.module is None and is_artifact(model):
        _source.refuse_on_artifact(context, "export")
        return None
    try:
        return _source.read(context, model, typed, export, "export")
    except MissingExtraError as error:
        lacking = Lacking()
        lacking.note(error)
        plan.note_extras(lacking, options)
        lacking.refuse()
        raise error


def text_of(report: Report, out: Path) -> str:
    """The table, what is to be said of it, and where the report is."""
    from densecast.report import markdown

    remarks = "".join(f"{line}\n" for line in [*report.findings(), *markdown.chosen_by(report)])
    where = f"report: {out / 'report.html'}, {out / 'report.md'}, {out / 'report.json'}"
    return f"{markdown.results(report)}\n\n{remarks}{where}"


def _run_options(
    backends: str,
    precisions: str | None,
    shape: _options.Values,
    quantize: _options.Values,
    evaluate: _options.Values,
    searches: tuple[bool, float | None, float],
) -> RunOptions:
    """The builds and how they are measured; `searches`: whether tuned, the largest drop in points, seconds of each."""
    from densecast.io import codec
    from densecast.spec import precision
    from densecast.verbs.reproduce import RunOptions

    tuned, max_drop, seconds = searches
    shapes = codec.from_plain(shape, InputShape, "command line")
    batch = shapes.batch[0] if isinstance(shapes.batch, tuple) else shapes.batch.min
    drop_options = {"points": max_drop, "seconds": seconds, "split": evaluate["split"]}
    return RunOptions(
        backends=tuple(backends.split(",")),
        precisions=tuple(precision.parse(name) for name in precisions.split(",")) if precisions is not None else None,
        build=BuildOptions(shape=shapes, quantize=codec.from_plain(quantize, QuantizeOptions, "command line")),
        evaluate=codec.from_plain({**evaluate, "batch": batch}, EvaluateOptions, "command line"),
        benchmark=BenchmarkOptions(batch=batch),
        tune=TuneOptions(seconds=seconds) if tuned else None,
        max_drop=None if max_drop is None else codec.from_plain(drop_options, MaxDrop, "command line"),
    )
