"""Infers pictures of any size in tiles: labels as tiled TIFF files, people as JSON."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from densecast.errors import BadInputError, BadShapeError, MissingFileError, UsageError
from densecast.imaging import pages
from densecast.imaging.strips import open_strips
from densecast.pipeline import Pipeline
from densecast.results.predictions import FailedImage, InferredImage, TileRecord
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Dim
from densecast.spec.verb_options import InferOptions
from densecast.verbs.infer.endings import Drawn
from densecast.verbs.infer.headers import missing
from densecast.verbs.infer.results import Results
from densecast.verbs.large import Files, LargeLabels, LargePeople

if TYPE_CHECKING:
    from densecast.measure.loop import Progress

_log = logging.getLogger(__name__)
_LABELS, _SCORE, _COLOUR, _PEOPLE = ".tif", "_score.tif", "_colour.tif", ".json"


def endings(pipeline: Pipeline, drawn: Drawn, batch: int | None) -> tuple[str, ...]:
    """What the files of one picture end in.

    Raises:
        UsageError: an option that has no meaning for pictures in tiles.
    """
    if drawn.overlay:
        raise UsageError(
            "a large picture is not drawn over; --colour writes labels with their colours.", field="overlay"
        )
    if batch is not None:
        raise UsageError("tiles of a large picture run one at a time: leave the batch size out.", field="batch")
    if pipeline.spec.task != "pose":
        return _LABELS, *((_SCORE,) if drawn.scores else ()), *((_COLOUR,) if drawn.colour else ())
    given = next((name for name, value in (("scores", drawn.scores), ("colour", drawn.colour)) if value), None)
    if given is not None:
        raise UsageError(f"{pipeline.spec.name}: people have no {given}.", field=given)
    return (_PEOPLE,)


def unusable(paths: Sequence[Path], pipeline: Pipeline) -> dict[Path, BadInputError | MissingFileError]:
    """The pictures that cannot be read in strips, with what is wrong, as far as their beginnings tell."""
    problems: dict[Path, BadInputError | MissingFileError] = {}
    paged = []
    for path in paths:
        if not path.is_file():
            problems[path] = missing(path)
            continue
        try:
            with open_strips(path, pipeline.spec) as strips:
                if strips.is_many:
                    paged.append(path)
                if pipeline.spec.task != "pose":
                    _refuse_small(path, strips.size_hw, pipeline.spec)
        except BadInputError as error:
            problems[path] = error
    pages.remark_files(paged)
    return problems


def _refuse_small(path: Path, size_hw: tuple[int, int], spec: ModelSpec) -> None:
    """Refuse a picture that is smaller than the least that the network takes: it is no tile."""
    placed_hw = spec.preprocess.place(size_hw).model_hw
    for side, placed, takes in zip(size_hw, placed_hw, spec.input.shape[2:], strict=True):
        # Steps of sizes are filled up to the next, by repeating the border.
        if isinstance(takes, Dim) and takes.multiple == 1 and placed < takes.min:
            raise BadShapeError(
                f"{path}: a picture of {size_hw[1]}×{size_hw[0]} pixels has a side of {side}, and the network takes "
                f"{takes}. Enlarge the picture, or leave it out."
            )


def inferred(
    pipeline: Pipeline,
    results: Results,
    skipped: Sequence[Path],
    scratch: Path,
    options: InferOptions,
    drawn: Drawn,
    progress: Progress | None,
) -> Iterator[InferredImage | FailedImage]:
    """Infer all planned pictures but the skipped ones, one after another.

    Raises:
        BadConfigError, UsageError: the model cannot see pictures in tiles of this size.
        BadInputError: a picture is damaged, unless `options.keep_going`.
    """
    is_pose = pipeline.spec.task == "pose"
    labels = None if is_pose else LargeLabels(pipeline, tile_hw=options.tile, overlap_px=options.overlap)
    people = LargePeople(pipeline, tile_hw=options.tile, overlap_px=options.overlap) if is_pose else None
    if labels is not None:
        labels.check()
    for image, stem in results.stems.items():
        if image in skipped:
            continue
        room = Path(tempfile.mkdtemp(dir=scratch))
        made = room / stem.name
        try:
            if people is not None:
                file, record = people.find(image, made, progress)
            else:
                assert labels is not None, "one of both"
                file = made.with_name(made.name + _LABELS)
                files = Files(
                    file,
                    made.with_name(made.name + _SCORE) if drawn.scores else None,
                    made.with_name(made.name + _COLOUR) if drawn.colour else None,
                )
                record = labels.label(image, files, progress)
        except BadInputError as error:
            if not options.keep_going:
                raise
            yield FailedImage.of(image, error)
            continue
        _remark(image, record)
        yield InferredImage(image, results.publish(image, room, file), record)
        with contextlib.suppress(OSError):
            room.rmdir()


def _remark(image: Path, record: TileRecord) -> None:
    """Say what kept tiles from being exact."""
    if record.how == "blended":
        _log.warning("%s: tiles are faded into each other, not exact: %s", image.name, record.why)
    elif record.how == "exact" and not record.is_exact:
        _log.warning(
            "%s: neighbouring tiles are up to %.2g apart where they meet, more than rounding. Let them share more "
            "than %d pixels (--overlap).",
            image.name,
            record.seam_difference or 0.0,
            record.overlap_px,
        )
    elif record.why and record.how == "exact":
        _log.warning("%s: %s", image.name, record.why)
