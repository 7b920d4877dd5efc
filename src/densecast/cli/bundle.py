"""`densecast bundle`: pack artifacts with all that runs them, for machines without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Json, Quiet, Verbose, emit, set_up
from densecast.spec.handover_options import BundleOptions


@_options.takes(options=BundleOptions)
def command(
    artifacts: Annotated[list[Path], typer.Argument(help="Built artifacts.")],
    out: Annotated[Path, typer.Option(help="Folder to write, or a file that ends in .tar.gz.")],
    options: _options.Values,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Pack artifacts with wheels and an install script, for machines without a network."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.verbs.bundle import bundle

    result = bundle(artifacts, out, codec.from_plain(options, BundleOptions, "command line"))
    lines = [
        f"{result.requirement} for Python {result.python} on {result.platform}: {out}",
        f"{len(result.wheels)} wheels, {len(result.artifacts)} artifacts, {result.size_bytes / 1e6:.0f} MB; there: "
        "sh install.sh",
        *(f"note: {remark}" for remark in result.remarks),
    ]
    emit(codec.to_plain(result), "\n".join(lines), json)
