"""`densecast infer`: predict images and write the predictions to files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from densecast.cli import _options
from densecast.cli._common import (
    Batch,
    Device,
    Flip,
    Json,
    Limit,
    Quiet,
    Ratios,
    Threads,
    Verbose,
    augment,
    bar,
    clock_bar,
    emit,
    set_up,
)
from densecast.spec.store_options import StoreOptions
from densecast.spec.verb_options import InferOptions

if TYPE_CHECKING:
    from densecast.results.predictions import InferResult
    from densecast.verbs.infer.sources import Sources

Images = Annotated[
    list[str],
    typer.Argument(
        help="Image files, folders, patterns in quotes ('day*/*.jpg'), .txt lists of files; videos, camera:0; - reads "
        "a list or a picture from standard input. URLs with --allow-url; with --store also s3://bucket/photos."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for the predictions. Files that densecast did not write are never replaced."),
]
Listed = Annotated[
    Path | None,
    typer.Option(
        "--list", help="Text file with the names or stems of the images to use, one per line; - is standard input."
    ),
]


@_options.takes(options=InferOptions, stored=StoreOptions)
def command(
    artifact: Annotated[Path, typer.Argument(help="A built artifact.")],
    images: Images,
    options: _options.Values,
    stored: _options.Values,
    out: Out = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Also write <stem>_overlay.jpg.")] = False,
    scores: Annotated[
        bool,
        typer.Option("--scores", help="Also write <stem>_score.png: each pixel's probability as 16 bits, 65535 for 1."),
    ] = False,
    colour: Annotated[
        bool, typer.Option("--colour", help="Also write <stem>_colour.png: RGB, each class in its palette colour.")
    ] = False,
    listed: Listed = None,
    limit: Limit = None,
    flip: Flip = False,
    ratios: Ratios = "1.0",
    batch: Batch = None,
    threads: Threads = None,
    device: Device = "",
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write one prediction per image: class indices (PNG), people (JSON), class sets (PNG) or depth (PNG).

    For a video: <stem>.jsonl with one line per frame; --overlay also writes the video with predictions drawn over it.
    With --large: images of any size in constant memory, TIFF or PNG in, tiled TIFF out.
    """
    set_up(verbose, quiet)
    from densecast.errors import UsageError
    from densecast.io import codec
    from densecast.pipeline import PipelineConfig
    from densecast.verbs.infer import infer, mode_for, sources

    views = augment(ratios, flip)
    chosen = codec.from_plain(options, InferOptions, "command line")
    kept = codec.from_plain(stored, StoreOptions, "command line")
    drawn: dict[str, Any] = {"overlay": overlay, "scores": scores, "colour": colour}
    if kept.store is not None:
        from densecast.cli import _stored
        from densecast.verbs.stored.infer import infer_stored

        _refuse_idle({**drawn, "list": listed is not None, "limit": limit is not None})
        with bar("images", quiet) as progress:
            config = PipelineConfig(artifact, threads, "throughput", views, device)
            held = infer_stored(config, images, kept, out=out, options=chosen, batch=batch, progress=progress)
        _stored.tell_shard(held, json)
        return
    if out is None:
        raise UsageError("name a folder for the predictions with --out, or a --store to keep them in.")
    taken: dict[str, Any] = {"recursive": chosen.recursive, "allow_url": chosen.allow_url, "takes_videos": True}
    found = sources.find(images, named_in=listed, limit=limit, out=out, **taken)
    config = PipelineConfig(artifact, threads, mode_for(found, chosen), views, device)
    file = None if _is_stdout(json) else json
    with _bars(found, chosen, quiet) as bars:
        result = infer(config, found, out, batch=batch, options=chosen, json_file=file, **bars, **drawn)
    _tell(result, out, json if _is_stdout(json) else None)


def _is_stdout(json: Path | None) -> bool:
    return json is not None and str(json) == "-"


@contextlib.contextmanager
def _bars(found: Sources, options: InferOptions, quiet: bool) -> Iterator[dict[str, Any]]:
    """One bar at a time: that of images or tiles, or with videos that of their time."""
    what = "tiles" if options.large else "images"
    with bar(what, quiet or found.has_videos) as images, clock_bar(quiet or not found.has_videos) as seconds:
        yield {"progress": images, "time_progress": seconds}


def _tell(result: InferResult, out: Path, json: Path | None) -> None:
    """Print how many results there are, and name what failed on standard error.

    Raises:
        BadInputError: images failed.
    """
    from densecast.io import codec
    from densecast.verbs.infer import refuse_failures

    there = f", {len(result.skipped)} were there" if result.skipped else ""
    clips = "".join(
        f"\n{video.video}: {video.frames} frames of {video.seconds:.2f} s in {video.file}"
        f"{f', {video.missed} missed' if video.missed else ''}{f', drawn in {video.overlay}' if video.overlay else ''}"
        for video in result.videos
    )
    text = f"{len(result.results)} results in {out} ({result.model.precision.ran}){there}{clips}"
    emit(codec.to_plain(result), text, json)
    for failure in result.failed:
        print(f"densecast: {failure.error}", file=sys.stderr)
    refuse_failures(result, out)


def _refuse_idle(given: dict[str, bool]) -> None:
    """Refuse options of the command line that have no effect on a run with a store.

    Raises:
        UsageError: names the first one.
    """
    from densecast.errors import UsageError

    name = next((name for name, value in given.items() if value), None)
    if name is not None:
        raise UsageError(f"--{name} has no effect on runs with --store: leave it out.")
