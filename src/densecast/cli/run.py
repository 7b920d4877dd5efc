"""`densecast run`: take a zoo model through every step and write one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Json, Quiet, Verbose, emit, set_up, steps
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions
from densecast.spec.verb_options import (
    BenchmarkOptions,
    EvaluateOptions,
    ExportOptions,
    MaxDrop,
    TuneOptions,
)


@_options.takes(
    {"quantize": "calibration-"},
    {"export": ("variant",), "quantize": ("split",), "evaluate": ("split", "limit"), "search": ("seconds",)},
    export=ExportOptions,
    shape=InputShape,
    quantize=QuantizeOptions,
    evaluate=EvaluateOptions,
    search=MaxDrop,
)
def command(
    model: Annotated[str, typer.Argument(help="Name of a zoo model.")],
    out: Annotated[Path, typer.Option(help="Folder for all artifacts and the report.")],
    export: _options.Values,
    shape: _options.Values,
    quantize: _options.Values,
    evaluate: _options.Values,
    search: _options.Values,
    data: Annotated[
        Path | None,
        typer.Option(help="Root of the model's data set; default: from an environment variable, or generated."),
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="File of trained weights.")] = None,
    backends: Annotated[str, typer.Option(help="Engines, comma-separated.")] = "openvino,onnxruntime",
    precisions: Annotated[str, typer.Option(help="Precisions, comma-separated.")] = "fp32,fp16,int8",
    tuned: Annotated[
        bool, typer.Option("--tune", help="For fp16 and int8: build the fastest variant, as measured on this machine.")
    ] = False,
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Build an int8 model that loses at most this many points of the metric, else a 16-bit one."
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Repeat all measurements, even if earlier ones could be reused.")
    ] = False,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Export, build, evaluate and benchmark in every precision, and write the report."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.report import markdown
    from densecast.spec import precision
    from densecast.verbs.reproduce import RunOptions, reproduce

    shapes = codec.from_plain(shape, InputShape, "command line")
    batch = shapes.batch[0] if isinstance(shapes.batch, tuple) else shapes.batch.min
    drop_options = {"points": max_drop, "seconds": search["seconds"], "split": evaluate["split"]}
    options = RunOptions(
        backends=tuple(backends.split(",")),
        precisions=tuple(precision.parse(name) for name in precisions.split(",")),
        build=BuildOptions(shape=shapes, quantize=codec.from_plain(quantize, QuantizeOptions, "command line")),
        export=codec.from_plain(export, ExportOptions, "command line"),
        evaluate=codec.from_plain({**evaluate, "batch": batch}, EvaluateOptions, "command line"),
        benchmark=BenchmarkOptions(batch=batch),
        tune=TuneOptions(seconds=search["seconds"]) if tuned else None,
        max_drop=None if max_drop is None else codec.from_plain(drop_options, MaxDrop, "command line"),
        fresh=fresh,
    )
    with steps(quiet) as progress:
        report = reproduce(model, out, options, data=data, checkpoint=checkpoint, progress=progress)
    remarks = "".join(f"{line}\n" for line in [*report.findings(), *markdown.chosen_by(report)])
    where = f"report: {out / 'report.html'}, {out / 'report.md'}, {out / 'report.json'}"
    text = f"{markdown.results(report)}\n\n{remarks}{where}"
    emit(codec.to_plain(report), text, json)
