"""The command line: one sub-command a verb, each in its own file, none with logic of its own."""

from __future__ import annotations

import atexit
import gc
import os
import sys

import typer

from densecast.cli import (
    benchmark,
    build,
    compare,
    compare_results,
    diagnose,
    doctor,
    evaluate,
    export,
    handoff,
    infer,
    models,
    report,
    run,
    verify,
)
from densecast.errors import DensecastError

app = typer.Typer(
    name="densecast",
    help="From a trained segmentation or pose network to a fast, verified offline model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (models, export, build, infer, evaluate, benchmark, compare, verify, diagnose, run, report, doctor):
    app.command(verb.__name__.rpartition(".")[2])(verb.command)
app.add_typer(handoff.command, name="handoff")
app.command("compare-results", hidden=True)(compare_results.command)


def spelled_out(given: list[str]) -> list[str]:
    """`compare results` is a command of its own; other first words of `compare` are artifacts."""
    return ["compare-results", *given[2:]] if given[:2] == ["compare", "results"] else given


def main() -> None:
    """Entry point: 0 done, 1 a gate failed, 2 wrong usage, 3 input or backend missing or broken."""
    # numpy's BLAS would start a thread for each CPU, which all spin for a while; no large product is left to it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Python's last look for cycles takes a fifth of a second among the objects of numba and OpenVINO.
    atexit.register(gc.freeze)
    try:
        app(spelled_out(sys.argv[1:]))
    except DensecastError as error:
        print(f"densecast: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("densecast: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:  # a disk that is full, a folder that may not be written
        print(f"densecast: {error}", file=sys.stderr)
        sys.exit(DensecastError.exit_code)
