"""`densecast serve`: answer requests for pictures over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from densecast.cli import _heartbeat, _options
from densecast.cli._common import Json, Quiet, Verbose, emit, set_up
from densecast.spec.serve_options import ServeOptions


@_options.takes(options=ServeOptions)
def command(
    options: _options.Values,
    artifacts: Annotated[
        list[str] | None, typer.Argument(help="Built artifacts: FOLDER, NAME=FOLDER or NAME:VERSION=FOLDER.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Verify all artifacts and exit; nothing is served.")] = False,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Serve models over HTTP (Open Inference Protocol V2, POST /predict), with a page to drop images on."""
    set_up(verbose, quiet)
    from densecast.errors import GateFailedError
    from densecast.io import codec
    from densecast.verbs import serve

    chosen = codec.from_plain({**options, "access_log": not quiet}, ServeOptions, "command line")
    if check:
        checked = serve.check(artifacts or [])
        lines = [
            f"{one.state:6}  {each.artifact}: {one.name}: {one.told}"
            for each in checked.artifacts
            for one in each.checks
        ]
        emit(codec.to_plain(checked), "\n".join(lines), json)
        if not checked.is_sound:
            raise GateFailedError("not every artifact still gives the answer it gave when it was built.")
        return

    def ready(serving: serve.Serving) -> None:
        # From here on it waits for requests, and standard error is a log of them.
        _heartbeat.end()
        names = ", ".join(f"{each.name}:{each.version} ({each.precision})" for each in serving.models)
        emit(codec.to_plain(serving), f"Serving {names or 'nothing yet'} at {serving.url}", json)

    serve.serve(artifacts or [], chosen, ready=ready)
