"""Predicts whatever shows pictures: files, folders, patterns, videos, cameras, arrays, bytes; one result at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from densecast.errors import UsageError
from densecast.imaging.door import OpenFile
from densecast.imaging.video import Video
from densecast.pipeline import ImageLike, Pipeline, Predicted
from densecast.verbs._model import Model, opened
from densecast.verbs.infer import fetch, headers, sources

_LIBRARIES = ("PIL", "torch", "tensorflow", "jaxlib", "cupy")


@dataclass(frozen=True, slots=True)
class _Item:
    """A picture that is to be predicted: what it is known by, and how to get it."""

    source: Any
    read: Callable[[], ImageLike]


def predict(
    model: Model,
    source: Any,
    *,
    every: int = 1,
    recursive: bool = False,
    allow_url: bool = False,
    scores: bool = False,
    batch: int | None = None,
) -> Generator[Predicted[Any], None, None]:
    """Yield each picture of `source` with its prediction, in order; memory does not depend on how many there are.

    `source` is a path or name of an image, a folder (with `recursive` its subfolders as well), a pattern, a list, a
    video or `camera:0`; an (H, W, 3) uint8 array, a file's bytes, an open file, a Pillow image; or an iterable,
    which is taken from as results are. URLs are fetched with `allow_url` only. `Predicted.source` is the path or URL,
    the `VideoFrame`, or the object that was given, `Predicted.image` the picture as RGB. Of a video it is every
    `every`-th frame; a camera never ends by itself. An artifact is opened in throughput mode, a pipeline is used as it
    is.

    Raises:
        UsageError: nothing that shows pictures.
        MissingFileError, BadImageError, BadVideoError, BadShapeError: at the place of the picture that is to blame.
    """
    if every < 1:
        raise UsageError(f"every must be at least 1, got {every}.", field="every")
    if every > 1:
        _refuse_idle(source, recursive, allow_url)

    def finish(predicted: Predicted[_Item]) -> Predicted[Any]:
        return Predicted(predicted.source.source, predicted.image, predicted.placement, predicted.prediction)

    items = _items(source, every, recursive, allow_url)
    with opened(model, "throughput") as pipeline:
        items = _read_by(pipeline, items)
        yield from pipeline.stream(items, lambda item: item.read(), finish, scores=scores, batch=batch)


def _refuse_idle(source: Any, recursive: bool, allow_url: bool) -> None:
    """`every` where it can be seen that there is no video: of names, arrays and pictures, not of a generator."""
    parts = [source] if isinstance(source, (str, os.PathLike)) or _is_picture(source) else source
    if not isinstance(parts, (list, tuple)):
        return
    names = [os.fspath(each) for each in parts if isinstance(each, (str, os.PathLike))]
    if len(names) + sum(map(_is_picture, parts)) < len(parts):
        return
    if not names or not sources.find(names, recursive=recursive, allow_url=allow_url, takes_videos=True).has_videos:
        raise UsageError("every is for videos and cameras, and none was given: leave it out.", field="every")


def _read_by(pipeline: Pipeline, items: Iterator[_Item]) -> Iterator[_Item]:
    """Files are read as the model asks for."""
    for item in items:
        path = item.source
        yield _Item(path, lambda path=path: pipeline.read(path)) if isinstance(path, Path) else item  # type: ignore[misc]


def _items(source: Any, every: int, recursive: bool, allow_url: bool) -> Iterator[_Item]:
    if isinstance(source, (str, os.PathLike)):
        yield from _named(os.fspath(source), every, recursive, allow_url)
    elif _is_picture(source):
        yield _Item(source, lambda: source)
    elif isinstance(source, Iterable) and not isinstance(source, Mapping):
        for each in source:
            yield from _items(each, every, recursive, allow_url)
    else:
        raise UsageError(
            f"{type(source).__module__}.{type(source).__name__} shows no pictures: pass paths, arrays, bytes, Pillow "
            "images, or an iterable of them.",
            field="source",
        )


def _is_picture(source: Any) -> bool:
    """Arrays, bytes and Pillow images; and tensors, for the pipeline to say how they become arrays."""
    # Open files are iterable, by lines.
    # What hands out torch's tensors, as a DataLoader, is torch's as well and none itself.
    return isinstance(source, (bytes, bytearray, memoryview, np.ndarray, OpenFile)) or any(
        kind.__module__.partition(".")[0] in _LIBRARIES and not kind.__module__.startswith("torch.utils")
        for kind in type(source).__mro__
    )


def _named(name: str, every: int, recursive: bool, allow_url: bool) -> Iterator[_Item]:
    """The images and frames behind a name."""
    found = sources.find([name], recursive=recursive, allow_url=allow_url, takes_videos=True)
    with fetch.at_hand(found) as here:
        for each in here.images:
            if each.origin is not None and not each.is_video:
                # Its file is gone when the next one is asked for.
                data = each.path.read_bytes()
                yield _Item(each.origin, lambda data=data: data)  # type: ignore[misc]
                continue
            if not each.is_video:
                if not each.path.is_file():
                    raise headers.missing(each.path)
                yield _Item(each.path, lambda: None)
                continue
            with Video(each.name, each.opened_at) as video:
                for frame in video.frames(every):
                    yield _Item(frame, lambda frame=frame: frame.image)  # type: ignore[misc]
