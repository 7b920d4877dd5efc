"""`densecast compare results`: compare two result files and fail on regressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli._common import Json, Quiet, Verbose, emit, set_up

if TYPE_CHECKING:
    from densecast.verbs.compare_results import Row


def command(
    baseline: Annotated[
        str, typer.Argument(help="JSON file of evaluate, benchmark, run or handoff collect; or published:NAME.")
    ],
    candidate: Annotated[str, typer.Argument(help="Likewise.")],
    tolerance: Annotated[
        list[str] | None,
        typer.Option(help="Allowed regression of a quantity: mIoU=0.005 or images_per_s=5%; repeatable."),
    ] = None,
    other_images: Annotated[
        bool, typer.Option("--other-images", help="Compare scores even if they were measured on different images.")
    ] = False,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Compare two results; exit with 1 if a quantity is worse than --tolerance allows."""
    set_up(verbose, quiet)
    from densecast.errors import GateFailedError
    from densecast.io import codec
    from densecast.report.markdown import table
    from densecast.verbs.compare_results import compare_results, parse_tolerance

    compared = compare_results(
        baseline, candidate, [parse_tolerance(each) for each in tolerance or []], other_images=other_images
    )
    cells = [
        [
            row.name,
            f"{row.baseline:.6g}",
            f"{row.candidate:.6g}",
            f"{row.worse:+.3g}",
            "" if row.allowed is None else f"{row.allowed:.3g}",
            _verdict(row),
        ]
        for row in compared
    ]
    text = table(["quantity", "baseline", "candidate", "worse by", "allowed", ""], cells, "<>>>><")
    emit([codec.to_plain(row) for row in compared], text, json)
    failed = [row.name for row in compared if not (row.passed or row.undecided)]
    undecided = [f"{row.name} {row.undecided}" for row in compared if row.undecided]
    if failed:
        raise GateFailedError(f"worse than allowed: {', '.join(failed)}.")
    if undecided:
        raise GateFailedError(f"{'; '.join(undecided)}. Measure both again, longer or on a machine left alone.")


def _verdict(row: Row) -> str:
    """One word for the table."""
    if row.allowed is None:
        return ""
    return "undecided" if row.undecided else "pass" if row.passed else "FAIL"
