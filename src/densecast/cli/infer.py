"""`densecast infer`: predictions of images, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Flip, Json, Quiet, Ratios, Threads, Verbose, augment, bar, emit, set_up


def command(
    artifact: Annotated[Path, typer.Argument(help="A built artifact.")],
    images: Annotated[list[Path], typer.Argument(help="Image files or folders of images.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    overlay: Annotated[bool, typer.Option("--overlay", help="Also write <stem>_overlay.jpg.")] = False,
    scores: Annotated[
        bool, typer.Option("--scores", help="Also write <stem>_score.png: each pixel's probability, 65535 for 1.")
    ] = False,
    flip: Flip = False,
    ratios: Ratios = "1.0",
    batch: Annotated[int, typer.Option(min=1, help="Images read at a time; those of one size run together.")] = 1,
    threads: Threads = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write one result a image: class indices as PNG (segmentation) or people as JSON (pose)."""
    set_up(verbose, quiet)
    from densecast.infer import Pipeline
    from densecast.infer_files import infer_files

    views = augment(ratios, flip)
    with Pipeline.open(artifact, threads=threads, augment=views) as pipeline, bar("images", quiet) as progress:
        written = infer_files(pipeline, images, out, overlay=overlay, scores=scores, batch=batch, progress=progress)
        ran = pipeline.runner.precision
    plain = {
        "results": [{"image": str(image), "file": str(file)} for image, file in written],
        "precision": {"asked": pipeline.artifact.manifest.precision_asked, "ran": str(ran)},
    }
    emit(plain, f"{len(written)} results in {out} ({ran})", json)
