"""`densecast compare`: built artifacts against a reference, on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Json, Limit, Quiet, Threads, Verbose, bar, emit, set_up


def command(
    reference: Annotated[Path, typer.Argument(help="A built artifact, as the torch or fp32 one.")],
    candidates: Annotated[list[Path], typer.Argument(help="Built artifacts to compare with it.")],
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    tolerance: Annotated[
        float | None, typer.Option(min=0, help="Exit with 1 where the relative error is larger.")
    ] = None,
    max_changed: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit with 1 where a larger share of labels changes.")
    ] = None,
    limit: Limit = None,
    threads: Threads = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Show how far outputs and labels differ; a gate for scripts with --tolerance or --max-changed."""
    set_up(verbose, quiet)
    from densecast.build.calibration import images_in
    from densecast.compare import compare
    from densecast.core import codec
    from densecast.core.errors import GateFailedError
    from densecast.infer import Pipeline
    from densecast.report.markdown import table

    paths = images_in(images)[:limit]
    found = []
    with Pipeline.open(reference, threads=threads) as left:
        for candidate in candidates:
            with Pipeline.open(candidate, threads=threads) as right, bar(candidate.name, quiet) as progress:
                found.append(compare(left, right, paths, progress=progress))
    header = [
        "candidate",
        "ran",
        "max error",
        "relative",
        "relative L2",
        "cosine",
        "labels changed",
        "their margin ≤",
    ]
    rows = [
        [
            Path(each.candidate).name,
            str(each.ran),
            f"{each.max_error:.3g}",
            f"{each.relative_error:.1e}",
            f"{each.relative_l2:.1e}",
            f"{each.cosine:.7f}",
            "" if each.labels_changed is None else f"{each.labels_changed:.5%}",
            "" if each.changed_margin is None else f"{each.changed_margin:.3g}",
        ]
        for each in found
    ]
    emit([codec.to_plain(each) for each in found], table(header, rows, "<<>>>>>>"), json)
    failed = [
        Path(each.candidate).name
        for each in found
        if (tolerance is not None and each.relative_error > tolerance)
        or (max_changed is not None and (each.labels_changed or 0.0) > max_changed)
    ]
    if failed:
        raise GateFailedError(f"beyond the stated limits: {', '.join(failed)}.")
