"""Predicts images and videos and writes the predictions to files, atomically; never over a file of somebody else's."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densecast.artifact import MANIFEST
from densecast.errors import BadInputError, MissingFileError, UsageError
from densecast.imaging.video import is_live
from densecast.io import codec, files
from densecast.pipeline import Image, Pipeline
from densecast.results.json_result import ModelRecord
from densecast.results.predictions import FailedImage, InferredImage, InferredVideo, InferResult
from densecast.runtime import execution
from densecast.spec.choices import checked
from densecast.spec.verb_options import InferOptions
from densecast.tasks._base import SavesColours
from densecast.verbs._model import Model, opened, record_of
from densecast.verbs.infer import fetch, formats, headers, sources, videos
from densecast.verbs.infer.endings import OVERLAY, Drawn, endings_of
from densecast.verbs.infer.formats import Format
from densecast.verbs.infer.results import Results
from densecast.verbs.infer.saving import Saved, Saver
from densecast.verbs.infer.sources import Source, Sources
from densecast.verbs.infer.videos import TimeProgress

if TYPE_CHECKING:
    from densecast.measure.loop import Progress

_log = logging.getLogger(__name__)


@checked
def infer(
    model: Model,
    images: Sequence[Path | str] | Path | str | Sources,
    out: Path | str,
    *,
    overlay: bool = False,
    scores: bool = False,
    colour: bool = False,
    batch: int | None = None,
    options: InferOptions = InferOptions(),
    json_file: Path | str | None = None,
    progress: Progress | None = None,
    time_progress: TimeProgress | None = None,
) -> InferResult:
    """Predict every image and video, and write the predictions to the folder `out`.

    `images` are files, folders, patterns or lists of names, as `sources.find` takes them. With `scores` a
    segmentation's `<stem>_score.png` is written, too: each pixel's probability in 16 bits; with `colour`
    `<stem>_colour.png`, each class in its colour; with `overlay` `<stem>_overlay.jpg`, the prediction over the image.
    `json_file` gets the result. Of a video it is `<stem>.jsonl`, a line for each frame, and the overlay is a video.

    No file is written over that densecast did not write, or that was changed since; `.densecast-results.jsonl` in `out`
    records what it wrote. All names, and the headers of all images, are checked before the first inference.

    With `options.large`, pictures of any size are seen in tiles, and labels written as TIFF files at their place. Else
    an artifact is opened in throughput mode for more than two images: several are in work at a time, in batches that
    tuning found best unless `batch` is given. A pipeline is used as it is.

    Raises:
        MissingFileError: an image does not exist.
        UsageError: results that meet each other or files that are there, or colours or scores the task does not have.
        BadImageError, BadShapeError: an image cannot be used, unless `options.keep_going`; results before it stay.
    """
    folder, file = files.given(out), None if json_file is None else files.given(json_file)
    given = images if isinstance(images, Sources) else _found(images, options, folder)
    drawn = Drawn(scores=scores, colour=colour, overlay=overlay)
    clip = videos.Wanted(options, overlay, scores, batch)
    videos.refuse_idle(given, options, overlay=overlay, colour=colour)
    with fetch.at_hand(given) as found, opened(model, mode_for(found, options)) as pipeline:
        run = _planned(pipeline, found, folder, options, drawn, clip, batch, file)
        skipped = _skipped(pipeline, run.results, run.endings) if options.skip_existing else {}
        stills = [each.path for each in run.usable if not each.is_video and each.path not in skipped]
        clips = [each for each in run.usable if each.is_video]
        shared: list[Path] = []
        with run.results.scratch() as scratch:
            if options.large:
                from densecast.verbs.infer import large

                done = [*large.inferred(pipeline, run.results, [*skipped], scratch, options, drawn, progress)]
            else:
                save = Saver(pipeline, run.results, scratch, run.usable, run.formats, drawn)
                done = _streamed(pipeline, stills, save, options, batch, run.names, progress)
                shared = save.finish()
            seen = [videos.infer_or_note(pipeline, each, run.results, scratch, clip, time_progress) for each in clips]
        done += [FailedImage.of(path, error) for path, error in run.problems.items()]
        done += [each for each in seen if isinstance(each, FailedImage)]
        made = [each for each in seen if not isinstance(each, FailedImage)]
        return _kept(file, _result(done, made, run.names, record_of(pipeline), found.left_out, skipped, shared))


@dataclass(frozen=True, slots=True)
class _Planned:
    """What is going to be predicted, and where it goes; `names` are what images are called, by their files."""

    usable: Sequence[Source]
    problems: dict[Path, BadInputError | MissingFileError]
    names: dict[Path, Path | str]
    formats: Sequence[Format[Any]]
    endings: tuple[str, ...]
    results: Results


def _planned(
    pipeline: Pipeline,
    found: Sources,
    folder: Path,
    options: InferOptions,
    drawn: Drawn,
    clip: videos.Wanted,
    batch: int | None,
    json_file: Path | None,
) -> _Planned:
    """Check everything that can be known before the first inference."""
    stills = [each.path for each in found.images if not each.is_video]
    clips = [each for each in found.images if each.is_video]
    names = {each.path: each.origin or each.path for each in found.images}
    problems = _problems(pipeline, stills, options, drawn) | videos.unusable(clips, pipeline)
    problems = {path: fetch.renamed(error, path, names[path]) for path, error in problems.items()}
    if problems and not (options.keep_going and len(problems) < len(found.images)):
        raise headers.refused(problems, len(found.images), headers.KEEP_GOING, names)
    formats.check(options, pipeline, found)
    kinds = formats.named(options, pipeline.spec)
    endings = _endings(pipeline, options, drawn, batch)
    endings += tuple(ending for each in kinds for ending in each.endings)
    usable = [source for source in found.images if source.path not in problems]
    results = Results.plan(
        usable,
        folder,
        endings,
        model=os.path.realpath(pipeline.artifact.folder) if pipeline.artifact else pipeline.spec.name,
        video_endings=clip.endings,
        shared=[folder / name for each in kinds for name in each.shared],
        placed={each.path: [folder / name for kind in kinds for name in kind.placed(each)] for each in usable},
        options=options,
        json_file=json_file,
        others=[each.path for each in found.images],
    )
    return _Planned(usable, problems, names, kinds, endings, results)


def mode_for(found: Sources, options: InferOptions) -> execution.Mode:
    """The faster mode: a camera's newest frame, and a tile of a large picture, has all CPUs."""
    if options.large or any(is_live(each.origin or "") for each in found.images):
        return "latency"
    return "throughput" if found.has_videos else execution.mode_for(len(found.images))


def _found(images: Sequence[Path | str] | Path | str, options: InferOptions, out: Path) -> Sources:
    return sources.find(images, recursive=options.recursive, out=out, allow_url=options.allow_url, takes_videos=True)


def _reader(pipeline: Pipeline, names: dict[Path, Path | str]) -> Callable[[Path], Image]:
    """Reads an image; an error calls it as it was given."""

    def read(path: Path) -> Image:
        try:
            return pipeline.read(path)
        except BadInputError as error:
            raise fetch.renamed(error, path, names[path]) from None

    return read


def _problems(
    pipeline: Pipeline, paths: Sequence[Path], options: InferOptions, drawn: Drawn
) -> dict[Path, BadInputError | MissingFileError]:
    """The images that cannot be used, as far as their headers tell."""
    if options.large:
        from densecast.verbs.infer import large

        return large.unusable(paths, pipeline)
    return headers.unusable(paths, pipeline.spec, pipeline.augment, as_jpeg=drawn.overlay)


def _streamed(
    pipeline: Pipeline,
    todo: Sequence[Path],
    save: Saver,
    options: InferOptions,
    batch: int | None,
    names: dict[Path, Path | str],
    progress: Progress | None,
) -> list[InferredImage | FailedImage]:
    """Predict and save images."""
    failed: Callable[[Path, BadInputError], Saved | FailedImage] | None = FailedImage.of if options.keep_going else None
    read, scores = _reader(pipeline, names), save.drawn.scores
    stream = pipeline.stream(todo, read, save, batch=batch, scores=scores, failed=failed)
    return [*_counted(stream, len(todo), progress, save)]


def _kept(file: Path | None, result: InferResult) -> InferResult:
    """The result, written to a file as JSON if one is named."""
    if file is not None:
        files.write_text(file, codec.json_text(codec.to_plain(result)))
    return result


def _skipped(pipeline: Pipeline, results: Results, endings: Sequence[str]) -> dict[Path, Path]:
    """Images whose results are there already, with the first file of each."""
    return results.done(endings, pipeline.artifact.folder / MANIFEST if pipeline.artifact else None)


def _result(
    done: Sequence[InferredImage | FailedImage],
    seen: Sequence[InferredVideo],
    names: dict[Path, Path | str],
    model: ModelRecord,
    left_out: dict[str, int],
    skipped: dict[Path, Path],
    shared: Sequence[Path],
) -> InferResult:
    """What became of each image, in the order of `names`, under the names by which they were given."""
    order: dict[Path | str, int] = {path: place for place, path in enumerate(names)}
    in_order = [
        replace(each, image=names[Path(each.image)]) for each in sorted(done, key=lambda each: order[each.image])
    ]
    return InferResult(
        tuple(each for each in in_order if isinstance(each, InferredImage)),
        model,
        tuple(each for each in in_order if isinstance(each, FailedImage)),
        left_out,
        tuple(InferredImage(image, file) for image, file in skipped.items()),
        tuple(seen),
        tuple(shared),
    )


def _counted(
    stream: Generator[Saved | FailedImage, None, None], total: int, progress: Progress | None, save: Saver
) -> Iterator[InferredImage | FailedImage]:
    with contextlib.closing(stream) as results:
        for done, each in enumerate(results, start=1):
            yield each if isinstance(each, FailedImage) else save.taken(each)
            if progress:
                progress(done, total)


def _endings(pipeline: Pipeline, options: InferOptions, drawn: Drawn, batch: int | None) -> tuple[str, ...]:
    """The endings of one image's files; a task that cannot save a sample is checked when its files are there."""
    if options.large:
        from densecast.verbs.infer import large

        return large.endings(pipeline, drawn, batch)
    if drawn.colour and not isinstance(pipeline.task, SavesColours):
        raise UsageError(f"{pipeline.spec.name}: predictions of {pipeline.spec.task} have no colours.", field="colour")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return endings_of(
                pipeline.task,
                pipeline.spec,
                Path(scratch),
                flip=pipeline.augment.flip,
                scores=drawn.scores,
                colour=drawn.colour,
                overlay=drawn.overlay,
            )
        except UsageError:
            raise
        except Exception as error:  # a user's task raises whatever it likes for made-up outputs
            _log.info("the names of results are not known beforehand: %s: %s", type(error).__name__, error)
            return (OVERLAY,) if drawn.overlay else ()


def image_files(given: Sequence[Path | str]) -> list[Path]:
    """Expand `given` to image files, as `sources.find` does; none for none. All headers are read.

    Raises:
        MissingFileError: a file or folder does not exist.
        BadDatasetError: a folder holds no images.
        BadImageError: files that are no images; names them together.
    """
    paths = [source.path for source in sources.find(given).images] if given else []
    problems = headers.unreadable(paths)
    if problems:
        raise headers.refused(problems, len(paths))
    return paths


def refuse_failures(result: InferResult, out: Path | str) -> None:
    """Raise an error if images failed that were gone over.

    Raises:
        BadInputError: says how many.
    """
    if result.failed:
        count = len(result.failed)
        raise BadInputError(
            f"{count} of {count + len(result.results) + len(result.videos)} images could not be used; the others' "
            f"results are in {out}."
        )
