"""`densecast models`: list the models of the zoo."""

from __future__ import annotations

from typing import Annotated

import typer

from densecast.cli._common import Json, Quiet, Verbose, emit, set_up


def command(
    name: Annotated[str | None, typer.Argument(help="Show this model only, with all details.")] = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """List the models of the zoo."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.report.markdown import table
    from densecast.zoo._base import ZOO

    entries = {each: ZOO.load(each) for each in ([name] if name else ZOO.names())}
    plain = {each: codec.to_plain(entry) for each, entry in entries.items()}
    if name:
        emit(plain[name], codec.json_text(plain[name]).rstrip(), json)
        return
    rows = [
        [
            each,
            entry.spec.task,
            entry.spec.evaluation.dataset if entry.spec.evaluation else "",
            "shipped" if entry.checkpoint.shipped else entry.checkpoint.file,
            entry.summary,
        ]
        for each, entry in entries.items()
    ]
    emit(plain, table(["model", "task", "data", "weights", "what"], rows, "<<<<<"), json)
