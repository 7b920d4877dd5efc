"""`densecast compare results`: compare two result files and fail on regressions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli._common import Json, Quiet, Verbose, emit, set_up

if TYPE_CHECKING:
    from densecast.verbs.compare_results import Row, Tolerance


def command(
    baseline: Annotated[
        str,
        typer.Argument(
            help="JSON file of evaluate, benchmark, run or handoff collect; published:NAME; or a store of evaluate."
        ),
    ],
    candidate: Annotated[str, typer.Argument(help="The result to compare with it, in any of these forms.")],
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
    """Compare two results; exit with 1 if a quantity is worse than --tolerance allows.

    Two stores are compared image by image: the change with its 95 % interval, and the images that changed most.
    """
    set_up(verbose, quiet)
    from densecast.errors import GateFailedError
    from densecast.io import codec
    from densecast.report.markdown import table
    from densecast.verbs.compare_results import compare_results, parse_tolerance
    from densecast.verbs.stored.compare import is_store

    allowed = [parse_tolerance(each) for each in tolerance or []]
    if is_store(baseline) and is_store(candidate):
        _image_by_image(baseline, candidate, allowed, json, other_images=other_images)
        return
    compared = compare_results(baseline, candidate, allowed, other_images=other_images)
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


def _image_by_image(
    baseline: str, candidate: str, allowed: list[Tolerance], json: Path | None, *, other_images: bool
) -> None:
    """Print how two stores differ.

    Raises:
        GateFailedError: the metric is worse than allowed.
        UnknownNameError: a tolerance for another quantity.
    """
    from densecast.errors import GateFailedError, UnknownNameError
    from densecast.io import codec
    from densecast.report.markdown import table
    from densecast.spec import limits
    from densecast.verbs.stored.compare import compare_stores

    found = compare_stores(baseline, candidate, other_images=other_images)
    for each in allowed:
        if each.name != found.metric:
            raise UnknownNameError.among("quantity of both stores", each.name, [found.metric])
    cells = [
        [each.id, *(f"{value:.4g}" for value in (each.baseline, each.candidate, each.worse))] for each in found.changed
    ]
    lines = [
        f"{found.metric}: {found.baseline:.6g}, now {found.candidate:.6g} over the same {found.images} images",
        f"worse by {found.drop} (95 % interval, paired bootstrap over images)",
        f"{found.worse} images are worse, {found.better} better",
    ]
    if cells:
        lines += ["", table(["image", "baseline", "candidate", "worse by"], cells, "<>>>")]
    emit(codec.to_plain(found), "\n".join(lines), json)
    for each in allowed:
        limit = each.amount * abs(found.baseline) if each.relative else each.amount
        if not limits.is_at_most(f"the tolerance of {each.name}", found.drop.value, limit):
            raise GateFailedError(f"worse than allowed: {found.metric}.")
