"""The command line: one file per sub-command, without logic of its own."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

import densecast
from densecast import plugins
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

INTERNAL_ERROR = 70
"""`EX_SOFTWARE` of BSD's sysexits."""

app = typer.Typer(
    name="densecast",
    help="From a trained dense-prediction network to a fast, verified offline model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        print(densecast.__version__)
        raise typer.Exit


@app.callback()
def program(
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PACKAGE",
            help="Allow specs and manifests to load plug-ins from this package (package.module:Name); repeatable.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """From a trained dense-prediction network to a fast, verified offline model."""
    if plugin:
        plugins.allow_plugins(*plugin)


for verb in (models, export, build, infer, evaluate, benchmark, compare, verify, diagnose, run, report, doctor):
    app.command(verb.__name__.rpartition(".")[2])(verb.command)
app.add_typer(handoff.command, name="handoff")
app.command("compare-results", hidden=True)(compare_results.command)


def spelled_out(given: list[str]) -> list[str]:
    """Rewrite `compare results` to its own command; any other first argument of `compare` is an artifact."""
    place = next((place for place, word in enumerate(given) if word == "compare"), None)
    if place is None or given[place + 1 : place + 2] != ["results"]:
        return given
    return [*given[:place], "compare-results", *given[place + 2 :]]


def main() -> None:
    """Entry point. Exit codes: 0 success, 1 gate failed, 2 usage error, 3 bad input or backend, 70 internal error."""
    # numpy's BLAS would start a thread for each CPU, which all spin for a while; no large product is left to it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Python's last look for cycles takes a fifth of a second among the objects of numba and OpenVINO.
    atexit.register(gc.freeze)
    try:
        app(spelled_out(sys.argv[1:]))
    except DensecastError as error:
        print(f"densecast: {error}{f' {error.hint}' if error.hint else ''}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("densecast: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:  # a disk that is full, a folder that may not be written
        print(f"densecast: {error}", file=sys.stderr)
        sys.exit(DensecastError.exit_code)
    except Exception as error:  # a fault of densecast's own: no user can mend it, and no script may take it for a gate
        print(
            f"densecast: internal error: {type(error).__name__}: {_first_line(error)} {_kept_trace()}", file=sys.stderr
        )
        sys.exit(INTERNAL_ERROR)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "").rstrip(".") + "."


def _kept_trace() -> str:
    """Write the traceback to the cache folder and return where it is; print it if nothing can be written."""
    from densecast.io import cache

    path: Path = cache.folder() / "last_internal_error.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        traceback.print_exc()
        return "Please report it with the lines above."
    return f"Please report it with {path}."
