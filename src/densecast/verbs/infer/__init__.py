"""Predicts image files and writes the predictions to files, atomically; never over a file that it did not write."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

from densecast.artifact import MANIFEST
from densecast.errors import BadInputError, BadShapeError, DensecastError, MissingFileError, UsageError
from densecast.io import codec, files
from densecast.measure.loop import Progress
from densecast.pipeline import Image, Pipeline, Predicted
from densecast.results._base import ModelRecord
from densecast.results.predictions import FailedImage, InferredImage, InferResult
from densecast.runtime import execution
from densecast.spec.verb_options import InferOptions
from densecast.tasks._base import SavesColours
from densecast.verbs._model import Model, opened, record_of
from densecast.verbs.infer import headers, large, sources
from densecast.verbs.infer.endings import OVERLAY, Drawn, endings_of
from densecast.verbs.infer.results import Results
from densecast.verbs.infer.sources import Sources

_log = logging.getLogger(__name__)


def infer(
    model: Model,
    images: Sequence[Path | str] | Sources,
    out: Path | str,
    *,
    overlay: bool = False,
    scores: bool = False,
    colour: bool = False,
    batch: int | None = None,
    options: InferOptions = InferOptions(),
    json_file: Path | str | None = None,
    progress: Progress | None = None,
) -> InferResult:
    """Predict every image, and write the predictions to the folder `out`.

    `images` are files, folders, patterns or lists of names, as `sources.find` takes them. With `scores` a
    segmentation's `<stem>_score.png` is written, too: each pixel's probability in 16 bits. With `colour` it is its
    `<stem>_colour.png`: RGB, each class in its colour. `overlay` writes `<stem>_overlay.jpg`: the prediction over the
    image. `json_file` gets the result as JSON.

    No file is written over that densecast did not write, or that was changed since; `.densecast-results.jsonl` in `out`
    records what it wrote. All names, and the headers of all images, are checked before the first inference.

    With `options.large`, pictures of any size are seen in tiles, and labels written as TIFF files at their place. Else
    an artifact is opened in throughput mode for more than two images: several are in work at a time, in batches that
    tuning found best unless `batch` is given. A pipeline is used as it is.

    Raises:
        MissingFileError: an image does not exist.
        UsageError: results that meet each other or files that are there, or colours or scores the task does not have.
        BadImageError, BadShapeError: an image cannot be used, unless `options.keep_going`. If only its decoding shows
            it, results of the images before it stay, and of those that were in work beside it.
    """
    folder, wanted = Path(out), None if json_file is None else Path(json_file)
    found = images if isinstance(images, Sources) else sources.find(images, recursive=options.recursive, out=folder)
    paths = [source.path for source in found.images]
    with opened(model, execution.mode_for(1 if options.large else len(paths))) as pipeline:
        drawn = Drawn(scores=scores, colour=colour, overlay=overlay)
        problems = _problems(pipeline, paths, options, drawn)
        if problems and not (options.keep_going and len(problems) < len(paths)):
            raise headers.refused(problems, len(paths), headers.KEEP_GOING)
        endings = large.endings(pipeline, drawn, batch) if options.large else _endings(pipeline, drawn)
        results = Results.plan(
            [source for source in found.images if source.path not in problems],
            folder,
            endings,
            model=os.path.realpath(pipeline.artifact.folder) if pipeline.artifact else pipeline.spec.name,
            options=options,
            json_file=wanted,
            others=paths,
        )
        skipped = _skipped(pipeline, results, endings) if options.skip_existing else {}
        with results.scratch() as scratch:
            if options.large:
                done = [*large.inferred(pipeline, results, [*skipped], scratch, options, drawn, progress)]
            else:
                save = _saver(pipeline, results, scratch, drawn)
                done = _streamed(pipeline, results, skipped, save, options, batch, scores, progress)
        done += [FailedImage.of(path, error) for path, error in problems.items()]
        return _kept(wanted, _result(done, paths, record_of(pipeline), found.left_out, skipped))


def _problems(
    pipeline: Pipeline, paths: Sequence[Path], options: InferOptions, drawn: Drawn
) -> dict[Path, BadInputError | MissingFileError]:
    """The images that cannot be used, as far as their headers tell."""
    if options.large:
        return large.unusable(paths, pipeline)
    return headers.unusable(paths, pipeline.spec, pipeline.augment, as_jpeg=drawn.overlay)


def _streamed(
    pipeline: Pipeline,
    results: Results,
    skipped: dict[Path, Path],
    save: Callable[[Predicted[Path]], InferredImage | FailedImage],
    options: InferOptions,
    batch: int | None,
    scores: bool,
    progress: Progress | None,
) -> list[InferredImage | FailedImage]:
    """Predict and save all planned images but the skipped ones."""
    todo = [image for image in results.stems if image not in skipped]
    failed = FailedImage.of if options.keep_going else None
    stream = pipeline.stream(todo, pipeline.read, save, batch=batch, scores=scores, failed=failed)
    return [*_counted(stream, len(todo), progress)]


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
    paths: Sequence[Path],
    model: ModelRecord,
    left_out: dict[str, int],
    skipped: dict[Path, Path],
) -> InferResult:
    """What became of each image, in the order of `paths`."""
    order = {path: place for place, path in enumerate(paths)}
    in_order = sorted(done, key=lambda each: order[each.image])
    return InferResult(
        tuple(each for each in in_order if isinstance(each, InferredImage)),
        model,
        tuple(each for each in in_order if isinstance(each, FailedImage)),
        left_out,
        tuple(InferredImage(image, file) for image, file in skipped.items()),
    )


def _counted(
    stream: Generator[InferredImage | FailedImage, None, None], total: int, progress: Progress | None
) -> Iterator[InferredImage | FailedImage]:
    with contextlib.closing(stream) as results:
        for done, each in enumerate(results, start=1):
            yield each
            if progress:
                progress(done, total)


def _saver(
    pipeline: Pipeline, results: Results, scratch: Path, drawn: Drawn
) -> Callable[[Predicted[Path]], InferredImage | FailedImage]:
    """A function that writes the files of one prediction to a folder of their own, and moves them to their place."""
    task, spec = pipeline.task, pipeline.spec
    # One for each thread: what is published has left it.
    rooms: list[Path] = []

    def save(predicted: Predicted[Path]) -> InferredImage:
        image, prediction = predicted.source, predicted.prediction
        try:
            room = rooms.pop()
        except IndexError:
            room = Path(tempfile.mkdtemp(dir=scratch))
        stem = room / results.stems[image].name
        file = task.save(stem, prediction, spec)
        if drawn.colour and isinstance(task, SavesColours):
            task.save_colour(stem, prediction, spec)
        if drawn.overlay:
            _write_jpeg(task.draw(predicted.image, prediction, spec), stem.with_name(stem.name + OVERLAY))
        written = InferredImage(image, results.publish(image, room, file))
        rooms.append(room)
        return written

    return save


def _endings(pipeline: Pipeline, drawn: Drawn) -> tuple[str, ...]:
    """The endings of one image's files; a task that cannot save a sample is checked when its files are there."""
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
            f"{count} of {count + len(result.results)} images could not be used; the others' results are in {out}."
        )


def _write_jpeg(image: Image, path: Path) -> None:
    import cv2
    import numpy as np

    if max(image.shape[:2]) > headers.MAX_JPEG_SIDE:
        raise BadShapeError(f"{path.name}: {image.shape[1]}×{image.shape[0]} pixels are too many for a JPEG.")
    encoded, data = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not encoded:
        raise DensecastError(f"{path.name} could not be encoded as a JPEG.")
    files.write_bytes(path, data.tobytes())
