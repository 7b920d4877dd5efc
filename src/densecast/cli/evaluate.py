"""`densecast evaluate`: the accuracy of a built artifact on its data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Json, Limit, Quiet, Threads, Verbose, bar, emit, set_up


def command(
    artifact: Annotated[Path, typer.Argument(help="A built artifact.")],
    data: Annotated[Path, typer.Option(help="Root of the model's data set.")],
    split: Annotated[str, typer.Option(help="train, val or all.")] = "val",
    limit: Limit = None,
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the split, where the data set draws it.")] = 0,
    threads: Threads = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Measure the model's published metric."""
    set_up(verbose, quiet)
    from densecast.core import codec
    from densecast.evaluate import EvaluateOptions, evaluate
    from densecast.infer import Pipeline

    plain_options = {"split": split, "limit": limit, "batch": batch, "seed": seed}
    options = codec.from_plain(plain_options, EvaluateOptions, "command line")
    with Pipeline.open(artifact, threads=threads) as pipeline, bar("images", quiet) as progress:
        score = evaluate(pipeline, data, options, progress=progress)
        ran = pipeline.runner.precision
    manifest = pipeline.artifact.manifest
    assert manifest.build is not None
    plain = {
        "score": {key: value for key, value in codec.to_plain(score).items() if value is not None},
        "precision": {
            "asked": manifest.precision_asked,
            "ran": ran.compute,
            "layers": ran.layers,
            "source": ran.source,
        },
        "backend": manifest.build.backend,
        "model": pipeline.spec.name,
        "artifact": str(artifact),
    }
    lines = [f"{score.name}: {score.value:.4f} over {score.count} images ({split}), {manifest.build.backend} {ran}"]
    lines += [f"{name}: {value:.4f}" for name, value in score.others.items()]
    emit(plain, "\n".join(lines), json)
