"""`densecast verify`: check that an artifact is intact and still computes what it did when it was built."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Json, Quiet, Verbose, emit, set_up


def command(
    artifact: Annotated[Path, typer.Argument(help="A built or exported artifact.")],
    cpu: Annotated[
        str | None,
        typer.Option(help="Also predict whether this kind of CPU computes the same: any, avx2, avx512, vnni or amx."),
    ] = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Check file hashes, engine, precision and the output for a stored test input, on this machine."""
    set_up(verbose, quiet)
    from densecast.errors import GateFailedError
    from densecast.io import codec
    from densecast.spec.cpu import parse
    from densecast.verbs.verify import verify

    verification = verify(artifact, cpu=parse(cpu) if cpu is not None else None)
    width = max(len(check.name) for check in verification.checks)
    lines = [f"{check.state:6}  {check.name:{width}}  {check.told}" for check in verification.checks]
    emit(codec.to_plain(verification), "\n".join([*lines, f"{verification.seconds:.1f} s"]), json)
    if not verification.is_sound:
        here = "" if cpu else " here"
        raise GateFailedError(f"{artifact} does not compute{here} what it was built to.")
