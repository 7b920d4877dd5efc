"""Writes the files of one prediction to a folder of their own, and moves them to their place together."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densecast.errors import BadShapeError, DensecastError
from densecast.io import files
from densecast.pipeline import Image, Pipeline, Predicted
from densecast.results.predictions import InferredImage
from densecast.tasks._base import SavesColours
from densecast.verbs.infer import headers
from densecast.verbs.infer.endings import OVERLAY, Drawn
from densecast.verbs.infer.formats import Format
from densecast.verbs.infer.results import SHARED, TOP, Results
from densecast.verbs.infer.sources import Source


@dataclass(frozen=True, slots=True)
class Saved:
    """An image whose files are at their place, and its part of each file that holds all images."""

    image: InferredImage
    parts: tuple[Any, ...]


class Saver:
    """Saves predictions, in any threads."""

    def __init__(
        self,
        pipeline: Pipeline,
        results: Results,
        scratch: Path,
        sources: Sequence[Source],
        formats: Sequence[Format[Any]],
        drawn: Drawn,
    ) -> None:
        self._task, self._spec, self._results, self._scratch = pipeline.task, pipeline.spec, results, scratch
        self._sources = {source.path: source for source in sources}
        self._formats, self.drawn = formats, drawn
        for number, each in enumerate(formats):
            (scratch / f"format{number}").mkdir()
            each.begin(scratch / f"format{number}")
        # One for each thread: what is published has left it.
        self._rooms: list[Path] = []

    def __call__(self, predicted: Predicted[Path]) -> Saved:
        """Write one image's files, all of them or none."""
        image, prediction = predicted.source, predicted.prediction
        try:
            room = self._rooms.pop()
        except IndexError:
            room = Path(tempfile.mkdtemp(dir=self._scratch))
        stem = room / self._results.stems[image].name
        file = self._task.save(stem, prediction, self._spec)
        if self.drawn.colour and isinstance(self._task, SavesColours):
            self._task.save_colour(stem, prediction, self._spec)
        if self.drawn.overlay:
            write_jpeg(self._task.draw(predicted.image, prediction, self._spec), stem.with_name(stem.name + OVERLAY))
        parts = tuple(each.make(self._sources[image], predicted, stem, room / TOP) for each in self._formats)
        written = InferredImage(image, self._results.publish(image, room, file))
        self._rooms.append(room)
        return Saved(written, parts)

    def taken(self, saved: Saved) -> InferredImage:
        """Add an image's parts to the files that hold all images; call it in the images' order."""
        for each, part in zip(self._formats, saved.parts, strict=True):
            each.take(part)
        return saved.image

    def finish(self) -> list[Path]:
        """Write the files that hold all images; gives their places."""
        room = Path(tempfile.mkdtemp(dir=self._scratch))
        for each in self._formats:
            each.finish(room)
        made = sorted(path for path in room.rglob("*") if path.is_file())
        names = [path.relative_to(room) for path in made]
        if made:
            self._results.publish(SHARED, room, made[0])
        return [self._results.folder / name for name in names]


def write_jpeg(image: Image, path: Path) -> None:
    """Write an (H, W, 3) RGB image.

    Raises:
        BadShapeError: more pixels than a JPEG can hold.
    """
    import cv2
    import numpy as np

    if max(image.shape[:2]) > headers.MAX_JPEG_SIDE:
        raise BadShapeError(f"{path.name}: {image.shape[1]}×{image.shape[0]} pixels are too many for a JPEG.")
    encoded, data = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not encoded:
        raise DensecastError(f"{path.name} could not be encoded as a JPEG.")
    files.write_bytes(path, data.tobytes())
