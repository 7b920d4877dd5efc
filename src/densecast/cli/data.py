"""`densecast data`: look at a data set before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Json, Quiet, Threads, Verbose, bar, emit, set_up
from densecast.spec.data_options import FOLDERS, Data, DataCheckOptions, DataOptions

command = typer.Typer(help="Check your own images and masks, or a published data set.", no_args_is_help=True)


@command.callback()
def data() -> None:
    """Check your own images and masks, or a published data set."""


@command.command()
@_options.takes(None, {"own": FOLDERS}, options=DataCheckOptions, own=DataOptions)
def check(
    data: Annotated[Path, typer.Argument(help="Root of a data set, or a data.toml or data.yaml.")],
    options: _options.Values,
    own: _options.Values,
    model: Annotated[
        Path | None, typer.Option(help="An exported or built artifact: masks are checked against its classes.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page of small images with their masks.")
    ] = None,
    threads: Threads = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Read every image and mask, and list all problems: partners, sizes, values, damage, duplicates, classes.

    Exit code 1 if there are problems, 3 if nothing can be read.
    """
    set_up(verbose, quiet)
    from densecast.errors import GateFailedError
    from densecast.io import codec
    from densecast.report.data_check import as_text
    from densecast.verbs.data_check import check_data

    chosen = codec.from_plain(options, DataCheckOptions, "command line")
    place = Data(data, codec.from_plain(own, DataOptions, "command line"))
    with bar("pictures", quiet) as progress:
        result = check_data(place, model, chosen, html=html, threads=threads, progress=progress)
    emit(codec.to_plain(result), as_text(result), json)
    if not result.is_sound:
        count = len(result.problems)
        raise GateFailedError(f"{count} problem{'s' if count > 1 else ''} in {data}.")
