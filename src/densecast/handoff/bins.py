"""Images as the raw files that the vendors' tools read: prepared by several processes, streamed, and resumed."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densecast.core import planning
from densecast.core.buffers import Buffers
from densecast.core.clock import unclocked
from densecast.core.sample import Sample
from densecast.core.spec import ModelSpec
from densecast.core.tensor import Array
from densecast.handoff.package import Item, augment_of, views
from densecast.imaging.read import read_image
from densecast.imaging.views import prepare_views

# Samples a process is given at once, and how many such chunks each may have waiting: enough to keep it busy, little
# enough that memory does not depend on the number of images.
_CHUNK = 8
_WAITING = 2


@dataclass(frozen=True, slots=True)
class Job:
    """What a process has to know: the model, and the folder that the files go to."""

    spec: ModelSpec
    folder: Path


def write_all(job: Job, samples: Sequence[tuple[Sample, str]], processes: int) -> Iterator[Item]:
    """Write every sample's inputs under its stem; their items, in order.

    Raises:
        BadImageError, BadShapeError: an image cannot be read or is not for this network; what came before it is there.
    """
    if processes == 1:
        writer = _Writer(job)
        for sample, stem in samples:
            yield writer.write(sample, stem)
        return
    context = multiprocessing.get_context("spawn")
    chunks = _chunks(samples)
    with ProcessPoolExecutor(processes, context, _start, (job,)) as pool:
        waiting: deque[Future[list[Item]]] = deque()
        try:
            for chunk in itertools.islice(chunks, processes * _WAITING):
                waiting.append(pool.submit(_write, chunk))
            while waiting:
                done = waiting.popleft().result()
                for chunk in itertools.islice(chunks, 1):
                    waiting.append(pool.submit(_write, chunk))
                yield from done
        finally:
            for each in waiting:
                each.cancel()


def write_bin(path: Path, array: Array) -> None:
    """The array's values in C order, little-endian, without a header; whole, or not at all.

    Nothing is forced to the disk here: whoever writes thousands does that once, at the end.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            # The array's own memory goes to the system: numpy's `tofile` costs a third more, through C's streams.
            values = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            stream.write(values.data.cast("B"))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_written(folder: Path, spec: ModelSpec, item: Item) -> bool:
    """Whether all of an image's inputs are there, of the right length."""
    for stem, view in views(spec, item):
        path = folder / f"{stem}.bin"
        wanted = 3 * view.placement.model_hw[0] * view.placement.model_hw[1] * np.dtype(spec.input.dtype).itemsize
        if not path.is_file() or path.stat().st_size != wanted:
            return False
    return True


class _Writer:
    """Prepares images one after the other in the same memory."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._augment = augment_of(job.spec)
        self._buffers = Buffers()

    def write(self, sample: Sample, stem: str) -> Item:
        spec = self._job.spec
        image = read_image(sample.image, use_exif=spec.preprocess.use_exif)
        item = Item(sample.id, stem, (image.shape[0], image.shape[1]))
        self._buffers.turn()
        prepared = prepare_views([image], spec, self._augment, self._buffers, unclocked)[0]
        for (name, _), array in zip(views(spec, item), prepared.arrays, strict=True):
            write_bin(self._job.folder / f"{name}.bin", array)
        return item


_writer: _Writer | None = None


def _start(job: Job) -> None:
    """Once in each process, which is one of several: OpenCV's own threads would only get in their way."""
    global _writer
    import cv2

    cv2.setNumThreads(1)
    _writer = _Writer(job)


def _write(chunk: list[tuple[Sample, str]]) -> list[Item]:
    assert _writer is not None, "the process was not started"
    return [_writer.write(sample, stem) for sample, stem in chunk]


def _chunks(samples: Iterable[tuple[Sample, str]]) -> Iterator[list[tuple[Sample, str]]]:
    rest = iter(samples)
    while chunk := list(itertools.islice(rest, _CHUNK)):
        yield chunk


def default_processes() -> int:
    """One for each CPU that this process may use."""
    return planning.plan("latency").threads
