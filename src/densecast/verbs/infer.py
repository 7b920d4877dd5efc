"""Predicts image files and writes the predictions to files, atomically."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from densecast.errors import BadInputError, MissingFileError, UsageError
from densecast.imaging.folder import images_in
from densecast.io import files
from densecast.measure.loop import Progress
from densecast.pipeline import Image, Predicted
from densecast.results.predictions import InferredImage, InferResult
from densecast.runtime import execution
from densecast.tasks._base import SavesColours
from densecast.verbs._model import Model, opened, record_of

# A hundred thousand names of forty letters.
_MAX_LIST_BYTES = 4 << 20


def infer(
    model: Model,
    images: Sequence[Path | str],
    out: Path | str,
    *,
    overlay: bool = False,
    scores: bool = False,
    colour: bool = False,
    batch: int | None = None,
    progress: Progress | None = None,
) -> InferResult:
    """Predict every image (folders stand for the images in them), and write the predictions to the folder `out`.

    With `scores` a segmentation's `<stem>_score.png` is written, too: each pixel's probability in 16 bits. With
    `colour` it is its `<stem>_colour.png`: RGB, each class in its colour. `overlay` writes `<stem>_overlay.jpg`: the
    prediction over the image.
    An artifact is opened in throughput mode for more than two images, and closed again; a pipeline is used as it is. In
    throughput mode several images are in work at a time, in batches that tuning found best unless `batch` is given.

    Raises:
        MissingFileError: an image does not exist.
        UsageError: two images would have one result file, or the task has no colours or scores.
        BadImageError: an image cannot be read; results of the images before it stay, and
            of those that were in work beside it.
    """
    paths, folder = image_files([Path(image) for image in images]), Path(out)
    _refuse_equal_stems(paths)
    with opened(model, execution.mode_for(len(paths))) as pipeline:
        task, spec = pipeline.task, pipeline.spec
        if colour and not isinstance(task, SavesColours):
            raise UsageError(f"{spec.name}: predictions of {spec.task} have no colours.", field="colour")

        def save(predicted: Predicted[Path]) -> InferredImage:
            stem, prediction = folder / predicted.source.stem, predicted.prediction
            file = task.save(stem, prediction, spec)
            if colour and isinstance(task, SavesColours):
                task.save_colour(stem, prediction, spec)
            if overlay:
                _write_jpeg(task.draw(predicted.image, prediction, spec), folder / f"{stem.name}_overlay.jpg")
            return InferredImage(predicted.source, file)

        written: list[InferredImage] = []
        stream = pipeline.stream(paths, pipeline.read, save, batch=batch, scores=scores)
        with contextlib.closing(stream) as saved:
            for each in saved:
                written.append(each)
                if progress:
                    progress(len(written), len(paths))
        return InferResult(tuple(written), record_of(pipeline))


def image_files(given: Sequence[Path], named_in: Path | None = None, limit: int | None = None) -> list[Path]:
    """Expand `given` to image files: folders stand for the images in them.

    With `named_in`, a text of one file name or id a line, only those it names, in its order; of them the first `limit`.

    Raises:
        MissingFileError: a file or folder does not exist, or the list names one that is not there.
        BadDatasetError: a folder holds no images.
    """
    paths = [path for each in given for path in (images_in(each) if each.is_dir() else [each])]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise MissingFileError(f"image {missing[0]} does not exist.")
    if named_in is not None:
        paths = _named(paths, named_in)
    return paths[:limit]


def _named(paths: Sequence[Path], named_in: Path) -> list[Path]:
    try:
        size = named_in.stat().st_size
        if size > _MAX_LIST_BYTES:
            raise BadInputError(f"{named_in}: larger than {_MAX_LIST_BYTES >> 20} MiB; this is no list of images.")
        names = named_in.read_text(encoding="utf-8").split()
    except OSError as error:
        raise MissingFileError(f"list {named_in} cannot be read ({error.strerror}).") from None
    except ValueError:
        raise BadInputError(f"{named_in}: not a text of one name a line.") from None
    known = {path.stem: path for path in paths} | {path.name: path for path in paths}
    absent = [name for name in names if name not in known]
    if absent:
        raise MissingFileError(f"{named_in} names {len(absent)} images that are not given, the first is {absent[0]}.")
    return [known[name] for name in names]


def _refuse_equal_stems(paths: Sequence[Path]) -> None:
    by_stem: dict[str, Path] = {}
    for path in paths:
        if path.stem in by_stem:
            raise UsageError(
                f"{by_stem[path.stem]} and {path} would both write {path.stem}.*; infer them into two folders."
            )
        by_stem[path.stem] = path


def _write_jpeg(image: Image, path: Path) -> None:
    import cv2
    import numpy as np

    encoded, data = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])
    assert encoded, "an RGB array always encodes"
    files.write_bytes(path, data.tobytes())
