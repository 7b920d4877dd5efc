"""Shared parts of all sub-commands: common options, progress bars on standard error, JSON output."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.errors import UsageError

if TYPE_CHECKING:
    from densecast.spec.augment import Augment

Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Also write the result as JSON ('-': standard output, alone)."),
]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more, on standard error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars, no remarks.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPUs to use; default all this process may use.")]
Device = Annotated[
    str, typer.Option(help="cuda, tensorrt, cann (ONNX Runtime), npu:0, mlu:0; default: the engine's own.")
]
Batch = Annotated[
    int | None,
    typer.Option(
        min=1, help="Images that run together; default 1, or in throughput mode what build --tune found fastest."
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many images.")]

Flip = Annotated[bool, typer.Option("--flip", help="Also see each image mirrored, and average (segmentation).")]
Ratios = Annotated[
    str, typer.Option(help="See each image at so many times its size, by comma (0.5,1.0,1.5), and average likewise.")
]

_LINE_EVERY_S = 10.0


def set_up(verbose: int, quiet: bool) -> None:
    """Logging to standard error: warnings, or with -v what is done, or with -vv everything."""
    level = logging.ERROR if quiet else {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=level, stream=sys.stderr, format="densecast: %(message)s")
    logging.getLogger("densecast").setLevel(level)


def emit(value: object, text: str, json_file: Path | None) -> None:
    """Print `text`, and write `value` as JSON where it was asked for."""
    from densecast.io import codec, files

    serialised = codec.json_text(_strict(value))
    if json_file is not None and str(json_file) == "-":
        sys.stdout.write(serialised)
        return
    print(text)
    if json_file is not None:
        files.write_text(json_file, serialised)


def _strict(value: object) -> object:
    """The value with null for what JSON has no number for: the score of no image is NaN."""
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def bar(what: str, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on a terminal, else a line now and then; both on standard error.

    The block gets a function of (done, total).
    """
    if quiet:
        yield lambda done, total: None
        return
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextlib.contextmanager
def clock_bar(quiet: bool) -> Iterator[Callable[[str, float, float], None]]:
    """A bar of time passed, with what is being done; without a terminal a line now and then.

    The block gets a function of (what, seconds passed, seconds there are).
    """
    if quiet:
        yield lambda what, passed, budget: None
        return
    if not sys.stderr.isatty():
        tell = _lines("seconds")
        yield lambda what, passed, budget: tell(round(passed), round(budget), f"  {what}")
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} s  {task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda what, passed, budget: progress.update(task, description=what, completed=passed, total=budget)


@contextlib.contextmanager
def steps(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A line for each step of a long run: `[ 4/15] build openvino int8`."""
    start = time.monotonic()

    def tell(what: str, done: int, total: int) -> None:
        if not quiet:
            print(f"[{done:2}/{total}] {time.monotonic() - start:6.1f} s  {what}", file=sys.stderr, flush=True)

    yield tell


def augment(ratios: str, flip: bool) -> Augment:
    """`--ratios` and `--flip` as the views of test-time augmentation.

    Raises:
        UsageError: not positive numbers.
    """
    from densecast.spec.augment import Augment

    try:
        numbers = tuple(float(ratio) for ratio in ratios.split(","))
    except ValueError:
        raise UsageError(f"--ratios {ratios!r} must be numbers by comma, as 0.5,1.0,1.5.") from None
    return Augment(numbers, flip)


def _lines(what: str) -> Callable[..., None]:
    last = time.monotonic()

    def tell(done: int, total: int | None, remark: str = "") -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            print(f"{what}: {done}{f' of {total}' if total else ''}{remark}", file=sys.stderr, flush=True)

    return tell
