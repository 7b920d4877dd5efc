"""`densecast evaluate`: measure a built artifact's accuracy on its data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Device, Flip, Json, Quiet, Ratios, Threads, Verbose, augment, bar, emit, set_up
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.verb_options import EvaluateOptions


@_options.takes(options=EvaluateOptions, own=DataOptions)
def command(
    artifact: Annotated[Path, typer.Argument(help="A built artifact.")],
    options: _options.Values,
    own: _options.Values,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Root of a data set, or a data.toml or data.yaml; default: from densecast.toml or the environment."
        ),
    ] = None,
    flip: Flip = False,
    ratios: Ratios = "1.0",
    table: Annotated[
        str | None,
        typer.Option(
            help="Style of the table: mmseg (MMSegmentation, the default for IoU), ascend (Ascend's FCN-8s), mmpose "
            "(the default for people), or none."
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Also write the predictions as JSON for the data set's evaluation server (COCO keypoints)."),
    ] = None,
    threads: Threads = None,
    device: Device = "",
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Measure a model's metric on its data set, or on your own pictures and masks."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.measure.data_source import find
    from densecast.pipeline import Pipeline
    from densecast.verbs.evaluate import evaluate, table_printer

    chosen = codec.from_plain(options, EvaluateOptions, "command line")
    place = Data(data, codec.from_plain(own, DataOptions, "command line"))
    views = augment(ratios, flip)
    opened = Pipeline.open(artifact, threads=threads, device=device, mode="throughput", augment=views)
    with opened as pipeline, bar("images", quiet) as progress:
        tables = table_printer(find(pipeline.spec, place).spec, table)
        result = evaluate(pipeline, place, chosen, progress=progress, results=results)
    score, model = result.score, result.model
    split = score.data.split if score.data else chosen.split
    lines = [
        f"{score.name}: {score.value:.4f} over {score.count} images ({split}), {model.backend} {model.precision.ran}"
    ]
    lines += [f"{name}: {value:.4f}" for name, value in score.others.items()]
    if score.protocol is not None and score.data is not None:
        lines.append(f"protocol {score.protocol}, ids {score.data.ids_sha256[:12]}")
    if score.data is not None and score.data.layout is not None:
        lines.append(f"data: {score.data.layout}")
    lines += [f"note: {remark}" for remark in score.remarks]
    printed = tables(score)
    emit(codec.to_plain(result), "\n".join([*([f"{printed}\n"] if printed else []), *lines]), json)
