"""`densecast run`: a model through every step, to one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Json, Limit, Quiet, Verbose, emit, input_shape, set_up, steps


def command(
    model: Annotated[str, typer.Argument(help="A model of the zoo.")],
    out: Annotated[Path, typer.Option(help="Folder for all artifacts and the report.")],
    data: Annotated[
        Path | None, typer.Option(help="Root of the model's data set; default: its variable, or drawn.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="The model's weights.")] = None,
    backends: Annotated[str, typer.Option(help="Engines, by comma.")] = "openvino,onnxruntime",
    precisions: Annotated[str, typer.Option(help="Precisions, by comma.")] = "fp32,fp16,int8",
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 1,
    height: Annotated[
        str | None,
        typer.Option(help="Of the network's input: fixed or a range; default: what the data leads to."),
    ] = None,
    width: Annotated[str | None, typer.Option(help="Likewise.")] = None,
    variant: Annotated[
        str,
        typer.Option(
            "--variant",
            "--protocol",
            help="How images are prepared and outputs decoded: original, or another the model offers.",
        ),
    ] = "original",
    split: Annotated[str, typer.Option(help="Evaluated split: val, train or all.")] = "val",
    calibration_split: Annotated[str, typer.Option(help="Split that sets int8 ranges.")] = "train",
    limit: Limit = None,
    tuned: Annotated[
        bool, typer.Option("--tune", help="Below float32, measure what is fastest here and build that.")
    ] = False,
    max_drop: Annotated[
        float | None,
        typer.Option(min=0.0, help="int8 that loses at most so many points of the metric, or else 16 bits."),
    ] = None,
    time_budget: Annotated[str, typer.Option(help="When to stop each of these searches: 90s, 10m, 2h.")] = "10m",
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what was measured before.")] = False,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Export, build, evaluate and benchmark in every precision, and write the report."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.report import markdown
    from densecast.spec import precision
    from densecast.spec.options import BuildOptions, QuantizeOptions
    from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions, ExportOptions, MaxDrop, TuneOptions
    from densecast.verbs.reproduce import RunOptions, reproduce

    seconds = _options.seconds(time_budget)
    drop_options = {"points": max_drop, "seconds": seconds, "split": split}
    options = RunOptions(
        backends=tuple(backends.split(",")),
        precisions=tuple(precision.parse(name) for name in precisions.split(",")),
        build=BuildOptions(
            shape=input_shape(str(batch), height, width),
            quantize=codec.from_plain({"split": calibration_split}, QuantizeOptions, "--calibration-split"),
        ),
        export=ExportOptions(variant=variant),
        evaluate=codec.from_plain({"split": split, "limit": limit, "batch": batch}, EvaluateOptions, "command line"),
        benchmark=BenchmarkOptions(batch=batch),
        tune=TuneOptions(seconds=seconds) if tuned else None,
        max_drop=None if max_drop is None else codec.from_plain(drop_options, MaxDrop, "command line"),
        fresh=fresh,
    )
    with steps(quiet) as progress:
        report = reproduce(model, out, options, data=data, checkpoint=checkpoint, progress=progress)
    remarks = "".join(f"{line}\n" for line in [*report.findings(), *markdown.chosen_by(report)])
    where = f"report: {out / 'report.html'}, {out / 'report.md'}, {out / 'report.json'}"
    text = f"{markdown.results(report)}\n\n{remarks}{where}"
    emit(codec.to_plain(report), text, json)
