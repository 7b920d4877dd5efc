"""`densecast report`: write the report of an earlier run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Json, Quiet, Verbose, emit, set_up


def command(
    folder: Annotated[Path, typer.Argument(help="Folder of an earlier run.")],
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Render report.md and report.html from report.json and print the table."""
    set_up(verbose, quiet)
    from densecast import report
    from densecast.core import codec
    from densecast.report import markdown

    found = report.read(folder)
    report.write(found, folder)
    emit(codec.to_plain(found), markdown.results(found), json)
