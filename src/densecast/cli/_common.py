"""Shared parts of all sub-commands: common options, progress bars on standard error, JSON output."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from densecast.cli import _heartbeat
from densecast.errors import UsageError
from densecast.runtime import stages

if TYPE_CHECKING:
    from densecast.spec.augment import Augment
    from densecast.spec.data_options import Data


def _json_place(flag: str) -> Callable[[Path | None], Path | None]:
    """A callback that refuses, before any work, to write JSON where it cannot be, or over what densecast did not write.

    Raises:
        UsageError, WriteError: something else is there, or nothing can be.
    """

    def check(path: Path | None) -> Path | None:
        if path is None or (str(path) == "-" and flag == "--json"):
            return path
        from densecast.io import files, own_json

        files.require_place(path)
        own_json.refuse_others(path, flag.removeprefix("--"), is_people=flag == "--results")
        return path

    return check


Json = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        callback=_json_place("--json"),
        help="Write the result as JSON to this file, or with '-' to standard output in place of the text.",
    ),
]
Results = Annotated[
    Path | None,
    typer.Option(
        "--results",
        callback=_json_place("--results"),
        help="Also write the predictions as JSON for the data set's evaluation server (COCO keypoints).",
    ),
]
Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, help="More log messages on standard error; repeatable.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars or messages.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Number of CPUs to use; default: all that are available to this process.")
]
Device = Annotated[
    str,
    typer.Option(help="Device: cuda, tensorrt or cann (ONNX Runtime), npu:0, mlu:0; default: the engine's default."),
]
Batch = Annotated[
    int | None,
    typer.Option(min=1, help="Batch size; default: 1, or in throughput mode the one that build --tune selected."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Use only the first N images.")]

Flip = Annotated[
    bool, typer.Option("--flip", help="Average with the prediction of the mirrored image (segmentation only).")
]
Ratios = Annotated[
    str, typer.Option(help="Average predictions over these image scales, comma-separated, such as 0.5,1.0,1.5.")
]

_LINE_EVERY_S = 10.0


def set_up(verbose: int, quiet: bool) -> None:
    """Log to standard error: warnings; with -v progress; with -vv everything; and what takes long, unless quiet."""
    level = logging.ERROR if quiet else {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=level, stream=sys.stderr, format="densecast: %(message)s")
    logging.getLogger("densecast").setLevel(level)
    if not quiet:
        _heartbeat.begin()


def emit(value: object, text: str, json_file: Path | None) -> None:
    """Print `text`, and write `value` as JSON if a file is given."""
    from densecast.io import codec, files

    serialised = codec.json_text(_strict(value))
    if json_file is not None and str(json_file) == "-":
        sys.stdout.write(serialised)
        return
    # Names of files may hold bytes that are not UTF-8; they are shown as escapes.
    print(text.encode("utf-8", "backslashreplace").decode())
    if json_file is not None:
        files.write_text(json_file, serialised)


def _strict(value: object) -> object:
    """Replace NaN and infinities, which JSON does not have, by null."""
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def bar(what: str, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on a terminal, else an occasional line; both on standard error.

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
    with _heartbeat.shown_by_a_bar(), Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        with stages.heard_by(lambda stage: progress.update(task, description=f"{what} - {stage}")):
            yield lambda done, total: progress.update(task, completed=done, total=total)


@contextlib.contextmanager
def clock_bar(quiet: bool) -> Iterator[Callable[[str, float, float], None]]:
    """A progress bar of elapsed time with the current step; without a terminal an occasional line.

    The block gets a function of (what, seconds passed, seconds there are).
    """
    if quiet:
        yield lambda what, passed, budget: None
        return
    if not sys.stderr.isatty():
        tell = _lines("seconds")

        def told(what: str, passed: float, budget: float) -> None:
            stages.at(what)
            tell(round(passed), round(budget), f"  {what}")

        yield told
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f} s  {task.description}"))
    with _heartbeat.shown_by_a_bar(), Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda what, passed, budget: progress.update(task, description=what, completed=passed, total=budget)


@contextlib.contextmanager
def steps(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Print a line for each step of a long run: `[ 4/15] build openvino int8`."""
    start = time.monotonic()

    def tell(what: str, done: int, total: int) -> None:
        if not quiet:
            print(f"[{done:2}/{total}] {time.monotonic() - start:6.1f} s  {what}", file=sys.stderr, flush=True)
            stages.at(what)
            _heartbeat.spoken()

    yield tell


def augment(ratios: str, flip: bool) -> Augment:
    """Parse `--ratios` and `--flip` into the views of test-time augmentation.

    Raises:
        UsageError: not positive numbers.
    """
    from densecast.spec.augment import Augment

    try:
        numbers = tuple(float(ratio) for ratio in ratios.split(","))
    except ValueError:
        raise UsageError(f"--ratios {ratios!r} must be comma-separated numbers, such as 0.5,1.0,1.5.") from None
    return Augment(numbers, flip)


def _lines(what: str) -> Callable[..., None]:
    last = time.monotonic()

    def tell(done: int, total: int | None, remark: str = "") -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            print(f"{what}: {done}{f' of {total}' if total else ''}{remark}", file=sys.stderr, flush=True)
            _heartbeat.spoken()

    return tell


def placed(data: Path | None, own: dict[str, Any]) -> Data | None:
    """The data at a path with the options of own folders; None for none.

    Raises:
        UsageError: options without data that they could be about.
    """
    from densecast.io import codec
    from densecast.spec.data_options import Data, DataOptions

    options = codec.from_plain(own, DataOptions, "command line")
    if data is not None:
        return Data(data, options)
    if options.named:
        raise UsageError(f"the option {min(options.named)!r} is for data: pass --data.", field=min(options.named))
    return None
