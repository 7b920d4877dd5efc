"""`densecast demo`: show everything on a small model that comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Json, Quiet, Verbose, emit, set_up, steps
from densecast.cli.run import text_of


def command(
    out: Annotated[Path, typer.Option(help="Folder for all artifacts and the report.")] = Path("runs/demo"),
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Run a small model that comes with densecast in every precision, on drawn images; needs no torch."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.verbs.demo import demo

    with steps(quiet) as progress:
        report = demo(out, progress=progress)
    emit(codec.to_plain(report), text_of(report, out), json)
