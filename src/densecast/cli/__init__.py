"""The command line: one file per sub-command, without logic of its own."""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import os
import re
import sys
from typing import Annotated, Any

import typer

import densecast
from densecast import plugins
from densecast.cli import _heartbeat, _outcome
from densecast.runtime.signals import ending_on_signals

COMMANDS = (
    *("models", "info", "export", "build", "infer", "evaluate", "merge", "benchmark", "compare"),
    *("verify", "diagnose", "run", "demo", "serve", "report", "doctor", "export-to", "bundle"),
    *("data", "handoff", "compare-results"),
)
"""The sub-commands in the order of the help, each a module of this package."""
_GROUPS = ("data", "handoff")
_HIDDEN = ("compare-results",)
_AT_HOME = re.compile(r"([\w:.-]*=)?~(/.*)?", re.DOTALL)


def _print_version(requested: bool) -> None:
    if requested:
        print(densecast.__version__)
        raise typer.Exit


def _program(
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


@functools.cache
def _made(names: tuple[str, ...]) -> typer.Typer:
    """The program with these of its sub-commands."""
    made = typer.Typer(
        name="densecast",
        cls=_outcome.Commands,
        help="From a trained dense-prediction network to a fast, verified offline model.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_program)
    for name in names:
        command: Any = importlib.import_module(f"densecast.cli.{name.replace('-', '_')}").command
        if name in _GROUPS:
            made.add_typer(command, name=name)
        else:
            made.command(name, hidden=name in _HIDDEN)(command)
    return made


def __getattr__(name: str) -> typer.Typer:
    """`app`, the program with all sub-commands; made when it is asked for, as reading all of them takes a while."""
    if name == "app":
        return _made(COMMANDS)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _fitting(words: list[str]) -> typer.Typer:
    """The program for a command line: where that begins with a sub-command, no other one is read."""
    if words == ["--version"]:
        return _made(())
    return _made((words[0],)) if words and words[0] in COMMANDS else _made(COMMANDS)


def spelled_out(given: list[str]) -> list[str]:
    """Rewrite `compare results` to its own command; any other first argument of `compare` is an artifact."""
    place = next((place for place, word in enumerate(given) if word == "compare"), None)
    if place is None or given[place + 1 : place + 2] != ["results"]:
        return given
    return [*given[:place], "compare-results", *given[place + 2 :]]


def at_home(given: list[str]) -> list[str]:
    """Read `~/x` as a path in the home folder also where shells leave it: behind `=`, in quotes, from other programs.

    A folder whose name is a tilde is `./~`. Where nobody knows the home folder, a word stays as it is.
    """
    return [
        f"{found[1] or ''}{os.path.expanduser('~')}{found[2] or ''}" if (found := _AT_HOME.fullmatch(word)) else word  # noqa: PTH111
        for word in given
    ]


def main() -> None:
    """Entry point. Exit codes: 0 success, 1 gate failed, 2 usage error, 3 bad input or backend, 70 internal error.

    A signal that ends the command is 128 and its number. A reader of the output that has seen enough is no error.
    """
    # numpy's BLAS would start a thread for each CPU, which all spin for a while; no large product is left to it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # pydantic would look through all that is installed for plug-ins of its own, and run them.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # While a few hundred modules are imported there is no garbage in cycles to look for.
    gc.set_threshold(2_000, 10, 20)
    # Python's last look for cycles takes a fifth of a second among the objects of numba and OpenVINO.
    atexit.register(gc.freeze)
    _outcome.open_closed_streams()
    _outcome.print_any_file_name()
    with ending_on_signals():
        try:
            _outcome.refuse_empty(sys.argv[1:])
            words = spelled_out(at_home(sys.argv[1:]))
            _fitting(words)(words)
        except SystemExit as ended:
            sys.exit(_outcome.flushed(ended.code))
        except _outcome.Failed as failed:
            sys.exit(_outcome.told(failed.error))
        except Exception as error:
            sys.exit(_outcome.told(error))
        finally:
            _heartbeat.end()
