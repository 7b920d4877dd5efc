"""`densecast evaluate`: measure a built artifact's accuracy on its data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Device, Flip, Json, Quiet, Ratios, Results, Threads, Verbose, augment, bar, set_up
from densecast.cli._effects import Typed
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.store_options import StoreOptions
from densecast.spec.verb_options import EvaluateOptions


@_options.takes(options=EvaluateOptions, own=DataOptions, stored=StoreOptions)
def command(
    artifact: Annotated[Path, typer.Argument(help="A built artifact.")],
    context: typer.Context,
    options: _options.Values,
    own: _options.Values,
    stored: _options.Values,
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
            "(the default for people), milesial (`Dice coefficient: …`), or none."
        ),
    ] = None,
    results: Results = None,
    threads: Threads = None,
    device: Device = "",
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Measure a model's metric on its data set, or on your own images and masks."""
    set_up(verbose, quiet)
    from densecast.artifact import CompiledArtifact
    from densecast.cli import _stored
    from densecast.errors import UsageError
    from densecast.io import codec
    from densecast.measure.data_source import find
    from densecast.pipeline import Pipeline, PipelineConfig
    from densecast.verbs.evaluate import evaluate, table_printer
    from densecast.verbs.stored.evaluate import evaluate_shard

    chosen = codec.from_plain(options, EvaluateOptions, "command line")
    if chosen.split == "all" or chosen.protocol is not None:
        Typed(context).refuse("draws the split, and here all images are named: leave it out.", "options_seed")
    kept = codec.from_plain(stored, StoreOptions, "command line")
    place = Data(data, codec.from_plain(own, DataOptions, "command line"))
    config = PipelineConfig(artifact, threads, "throughput", augment(ratios, flip), device)
    if kept.store is not None:
        spec = CompiledArtifact.open(artifact).spec
        tables = table_printer(find(spec, place).spec, table)
        with bar("images", quiet) as progress:
            if kept.shard is not None:
                if results is not None:
                    raise UsageError("--results is of all images: write it when all shards are done.")
                _stored.tell_shard(evaluate_shard(config, place, chosen, stored=kept, progress=progress), json)
                return
            result = evaluate(config, place, chosen, progress=progress, results=results, stored=kept)
    else:
        with Pipeline.open(config) as pipeline, bar("images", quiet) as progress:
            tables = table_printer(find(pipeline.spec, place).spec, table)
            result = evaluate(pipeline, place, chosen, progress=progress, results=results)
    _stored.tell_score(result, tables, chosen.split, json)
