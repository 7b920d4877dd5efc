"""`densecast run`, measured as briefly as can be: for tests that ask for all else that it does."""

from __future__ import annotations

from densecast.spec.verb_options import BenchmarkOptions

# For a program of its own, before it calls the command line; the folder of this file is on its path.
PROGRAM = "import brief_runs, densecast.cli.run\ndensecast.cli.run.BenchmarkOptions = brief_runs.options\n"


def options(batch: int) -> BenchmarkOptions:
    """In place of `densecast.cli.run.BenchmarkOptions`, whose three seconds a build no test of a report waits for."""
    return BenchmarkOptions(batch, images=10, seconds=0.0, warm_up=1)
