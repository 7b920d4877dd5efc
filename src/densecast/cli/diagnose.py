"""`densecast diagnose`: find layers that will lose accuracy in 16 bits or int8, and suggest remedies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Json, Limit, Quiet, Verbose, bar, emit, set_up


def command(
    artifact: Annotated[Path, typer.Argument(help="An exported artifact.")],
    images: Annotated[Path, typer.Option(help="Folder of representative images.")],
    limit: Limit = 20,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Find dead channels, outlier weights and activations, values near the float16 limit, and non-finite values."""
    set_up(verbose, quiet)
    from densecast.artifact import Artifact
    from densecast.errors import GateFailedError
    from densecast.imaging.folder import images_in
    from densecast.io import codec
    from densecast.report.markdown import table
    from densecast.verbs.diagnose import diagnose

    paths = images_in(images)[:limit]
    with bar("images", quiet) as progress:
        findings = diagnose(Artifact.open(artifact), paths, progress=progress)
    rows = [[each.layer or each.node, each.kind, each.measured, each.advice] for each in findings]
    text = table(["layer", "what", "measured", "what to do"], rows, "<<<<") if rows else "nothing to act on"
    emit([codec.to_plain(each) for each in findings], f"{text}\n{len(paths)} images", json)
    broken = [each.layer or each.node for each in findings if each.kind == "not finite"]
    if broken:
        raise GateFailedError(f"not finite: {', '.join(broken)}.")
