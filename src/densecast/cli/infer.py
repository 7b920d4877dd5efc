"""`densecast infer`: predict images and write the predictions to files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Batch, Flip, Json, Limit, Quiet, Ratios, Threads, Verbose, augment, bar, emit, set_up
from densecast.spec.verb_options import InferOptions

Images = Annotated[
    list[Path],
    typer.Argument(
        help="Image files, folders, patterns in quotes ('day*/*.jpg'), .txt lists of files; - reads a list from "
        "standard input."
    ),
]
Out = Annotated[
    Path, typer.Option(help="Folder for the predictions. Files that densecast did not write are never replaced.")
]
Listed = Annotated[
    Path | None,
    typer.Option("--list", help="Text file with the names or stems of the images to use, one a line; - is stdin."),
]


@_options.takes(options=InferOptions)
def command(
    artifact: Annotated[Path, typer.Argument(help="A built artifact.")],
    images: Images,
    out: Out,
    options: _options.Values,
    overlay: Annotated[bool, typer.Option("--overlay", help="Also write <stem>_overlay.jpg.")] = False,
    scores: Annotated[
        bool,
        typer.Option("--scores", help="Also write <stem>_score.png: each pixel's probability as 16 bits, 65535 for 1."),
    ] = False,
    colour: Annotated[
        bool, typer.Option("--colour", help="Also write <stem>_colour.png: RGB, each class in its palette colour.")
    ] = False,
    listed: Listed = None,
    limit: Limit = None,
    flip: Flip = False,
    ratios: Ratios = "1.0",
    batch: Batch = None,
    threads: Threads = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write one prediction per image: class indices (PNG), people (JSON), bits of classes (PNG), or depth (PNG)."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.pipeline import PipelineConfig
    from densecast.runtime import execution
    from densecast.verbs.infer import infer, refuse_failures, sources

    views = augment(ratios, flip)
    chosen = codec.from_plain(options, InferOptions, "command line")
    found = sources.find(images, recursive=chosen.recursive, named_in=listed, limit=limit, out=out)
    config = PipelineConfig(artifact, threads, execution.mode_for(len(found.images)), views)
    to_stdout = json is not None and str(json) == "-"
    with bar("images", quiet) as progress:
        result = infer(
            config,
            found,
            out,
            overlay=overlay,
            scores=scores,
            colour=colour,
            batch=batch,
            options=chosen,
            json_file=None if to_stdout else json,
            progress=progress,
        )
    there = f", {len(result.skipped)} were there" if result.skipped else ""
    text = f"{len(result.results)} results in {out} ({result.model.precision.ran}){there}"
    emit(codec.to_plain(result), text, json if to_stdout else None)
    for failure in result.failed:
        # Most errors name the file themselves.
        said = failure.error if str(failure.image) in failure.error else f"{failure.image}: {failure.error}"
        print(f"densecast: {said}", file=sys.stderr)
    refuse_failures(result, out)
