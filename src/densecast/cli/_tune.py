"""`build --tune`: its options and its progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from densecast.cli._common import steps
from densecast.cli._max_drop import seconds

if TYPE_CHECKING:
    from densecast.artifact import Artifact
    from densecast.artifact.tune_record import TuneOptions
    from densecast.spec.options import BuildOptions


def asked(goal: str, time_budget: str, keep_int8: bool) -> TuneOptions:
    """The options as one value.

    Raises:
        UsageError: a value that makes no sense.
    """
    from densecast.artifact.tune_record import TuneOptions
    from densecast.io import codec

    given = {"goal": goal, "seconds": seconds(time_budget), "keep_int8": keep_int8}
    return codec.from_plain(given, TuneOptions, "command line")


def run(
    source: Artifact, out: Path | None, options: BuildOptions, wanted: TuneOptions, data: Path | None, quiet: bool
) -> Artifact:
    """Measure, with a line for each trial, and build the winner."""
    from densecast.verbs.builder.tune import tune

    with steps(quiet) as tell:
        return tune(source, out, options, wanted, data=data, progress=tell)
