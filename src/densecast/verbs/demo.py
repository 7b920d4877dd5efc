"""Shows everything on a small model that comes with the package: `unet_tiny`, with pictures drawn for it."""

from __future__ import annotations

from pathlib import Path

from densecast.report.data import Report
from densecast.spec.verb_options import BenchmarkOptions
from densecast.verbs.reproduce import Progress, RunOptions, reproduce

MODEL = "unet_tiny"
# Of each loop that is timed; fifty images take longer on most machines.
_SECONDS = 1.0


def demo(out: Path | str = "runs/demo", *, progress: Progress = lambda what, done, total: None) -> Report:
    """Run `unet_tiny` on every engine and in every precision that this installation has, into `out`.

    Neither torch nor a network is needed. What an extra is missing for is left out; the report says so. From a script,
    call it below `if __name__ == "__main__":`, as models are measured in processes of their own.

    Raises:
        DensecastError: whatever a step raises.
    """
    options = RunOptions(skip_missing=True, benchmark=BenchmarkOptions(seconds=_SECONDS))
    return reproduce(MODEL, out, options, progress=progress)
