"""`build --tune`: its options, its progress, and the table of what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from densecast.cli._common import steps
from densecast.cli._max_drop import seconds

if TYPE_CHECKING:
    from densecast.core.artifact import Artifact
    from densecast.core.options import BuildOptions
    from densecast.core.tuning import TuneOptions


def asked(goal: str, time_budget: str, keep_int8: bool) -> TuneOptions:
    """The options as one value.

    Raises:
        UsageError: a value that makes no sense.
    """
    from densecast.core import codec
    from densecast.core.tuning import TuneOptions

    given = {"goal": goal, "seconds": seconds(time_budget), "keep_int8": keep_int8}
    return codec.from_plain(given, TuneOptions, "command line")


def run(
    source: Artifact, out: Path, options: BuildOptions, wanted: TuneOptions, data: Path | None, quiet: bool
) -> Artifact:
    """Measure, with a line for each trial, and build the winner."""
    from densecast.build.tune import tune

    with steps(quiet) as tell:
        return tune(source, out, options, wanted, data=data, progress=tell)


def text(built: Artifact) -> str:
    """Every trial and what came of it, and the winner."""
    from densecast.report.markdown import table

    record = built.manifest.tuning
    assert record is not None
    rows = []
    for trial in record.trials:
        figures = ["", "", ""]
        if trial.duel:
            low, high = trial.duel.quartiles
            rate, each = trial.duel.challenger.images_per_s, trial.duel.challenger.latency_ms
            figures = [f"{trial.duel.ratio:.2f} ({low:.2f} to {high:.2f})", f"{rate:.2f}", f"{each:.1f}"]
        rows.append([trial.what, *figures, trial.why + (" (measured before)" if trial.remembered else "")])
    head = ["tried", "times as fast as the best so far", "images/s", "ms a call", "outcome"]
    return f"{table(head, rows, '<>>><')}\n{record.winner}: {record.why}"
