"""`densecast infer`: predict images and write the predictions to files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Batch, Flip, Json, Limit, Quiet, Ratios, Threads, Verbose, augment, bar, emit, set_up


def command(
    artifact: Annotated[Path, typer.Argument(help="A built artifact.")],
    images: Annotated[list[Path], typer.Argument(help="Image files or folders of images.")],
    out: Annotated[Path, typer.Option(help="Folder for the predictions.")],
    overlay: Annotated[bool, typer.Option("--overlay", help="Also write <stem>_overlay.jpg.")] = False,
    scores: Annotated[
        bool,
        typer.Option("--scores", help="Also write <stem>_score.png: each pixel's probability as 16 bits, 65535 for 1."),
    ] = False,
    colour: Annotated[
        bool, typer.Option("--colour", help="Also write <stem>_colour.png: RGB, each class in its palette colour.")
    ] = False,
    listed: Annotated[
        Path | None, typer.Option("--list", help="Text file with the names or ids of the images to use, one per line.")
    ] = None,
    limit: Limit = None,
    flip: Flip = False,
    ratios: Ratios = "1.0",
    batch: Batch = None,
    threads: Threads = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write one prediction per image: class indices as PNG (segmentation) or people as JSON (pose)."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.pipeline import Pipeline
    from densecast.runtime import execution
    from densecast.verbs.infer import image_files, infer

    views = augment(ratios, flip)
    paths = image_files(images, listed, limit)
    opened = Pipeline.open(artifact, threads=threads, mode=execution.mode_for(len(paths)), augment=views)
    with opened as pipeline, bar("images", quiet) as progress:
        result = infer(
            pipeline, paths, out, overlay=overlay, scores=scores, colour=colour, batch=batch, progress=progress
        )
    emit(codec.to_plain(result), f"{len(result.results)} results in {out} ({result.model.precision.ran})", json)
