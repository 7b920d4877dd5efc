"""Writes network inputs as the raw `.bin` files that the vendors' tools read, in several processes.

A `.bin` file holds an array's values in C order, little-endian, without a header.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densecast.imaging.read import read_for
from densecast.imaging.views import prepare_views
from densecast.runtime import execution, machine
from densecast.runtime.batching import Buffers
from densecast.runtime.clock import unclocked
from densecast.runtime.processes import WorkerPool
from densecast.spec.model import ModelSpec
from densecast.spec.sample import Sample
from densecast.spec.tensor import Array
from densecast.verbs.handoff.package import Item, augment_of, views

Named = tuple[Sample, str]

# Samples a process is given at once, at most, and how many such chunks each may have waiting: enough to keep it busy,
# little enough that memory does not depend on the number of images.
CHUNK = 16
_WAITING = 2


@dataclass(frozen=True, slots=True)
class Job:
    """Settings of a worker process: the model, the output folder, and whether it uses a writer thread.

    With `writer_thread` a thread of its own writes one image's files while the next is prepared. That needs a CPU that
    is spare: where none is, handing over costs some per cent of the time.
    """

    spec: ModelSpec
    folder: Path
    writer_thread: bool = False


def write_bin(path: Path, array: Array) -> None:
    """Write one array as raw memory, without another copy and without flushing to disk.

    An interrupted call leaves a shorter file. Who lists the files, lists this one afterwards; who needs them on the
    disk, waits for that once, after the last: a file beside that is renamed, or a flush for each, cost more than the
    smaller of these files.
    """
    values = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    rest = values.data.cast("B")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        # The system may take less than it is given, as before the disk is full or beyond two gigabytes.
        while rest:
            rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)


def write_all(job: Job, samples: Sequence[Named], processes: int) -> Iterator[Item]:
    """Write every sample's inputs under its stem; yields their items in order, each once its files are written.

    Raises:
        BadImageError, BadShapeError: an image cannot be read or is not for this network.
        OSError: a file cannot be written.
        WorkerError: a process died.
    """
    if processes == 1:
        yield from _Writer(job).write(samples)
        return
    chunks = _chunks(samples, max(1, min(CHUNK, len(samples) // (4 * processes))))
    with WorkerPool(processes, "writes inputs", _start, job) as pool:
        waiting: deque[Future[list[Item]]] = deque()
        try:
            for chunk in itertools.islice(chunks, processes * _WAITING):
                waiting.append(pool.submit(_write, chunk))
            while waiting:
                items = pool.result(waiting.popleft())
                for chunk in itertools.islice(chunks, 1):
                    waiting.append(pool.submit(_write, chunk))
                yield from items
        finally:
            for each in waiting:
                each.cancel()


def has_spare_cpus(processes: int) -> bool:
    """Whether this many processes leave a spare CPU for each one's writer thread."""
    return 2 * processes <= machine.usable_cpus()


def is_written(folder: Path, spec: ModelSpec, item: Item) -> bool:
    """Whether all input files of an image exist with the right length."""
    for stem, view in views(spec, item):
        path = folder / f"{stem}.bin"
        height, width = view.placement.model_hw
        if not path.is_file() or path.stat().st_size != 3 * height * width * np.dtype(spec.input.dtype).itemsize:
            return False
    return True


class _Writer:
    """Prepares images one after the other in the same buffers."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._augment = augment_of(job.spec)
        # One image's arrays are being written while the next one's are filled.
        self._buffers = (Buffers(), Buffers())
        self._thread = ThreadPoolExecutor(1) if job.writer_thread else None

    def write(self, samples: Iterable[Named]) -> Iterator[Item]:
        if self._thread is None:
            for sample, stem in samples:
                item, files = self._prepare(sample, stem, self._buffers[0])
                _write_files(files)
                yield item
            return
        before: tuple[Item, Future[None]] | None = None
        try:
            for (sample, stem), buffers in zip(samples, itertools.cycle(self._buffers), strict=False):
                item, files = self._prepare(sample, stem, buffers)
                if before is not None:
                    before[1].result()
                written, before = before, (item, self._thread.submit(_write_files, files))
                if written is not None:
                    yield written[0]
            if before is not None:
                before[1].result()
                yield before[0]
        finally:
            # Nobody may fill an array that is still being written.
            wait([before[1]] if before is not None else [])

    def _prepare(self, sample: Sample, stem: str, buffers: Buffers) -> tuple[Item, list[tuple[Path, Array]]]:
        spec = self._job.spec
        image = read_for(sample.image, spec)
        item = Item(sample.id, stem, (image.shape[0], image.shape[1]))
        buffers.turn()
        inputs = prepare_views([image], spec, self._augment, buffers, unclocked)[0]
        named = zip(views(spec, item), inputs.arrays(spec.input.name), strict=True)
        return item, [(self._job.folder / f"{name}.bin", array) for (name, _), array in named]


def _write_files(files: list[tuple[Path, Array]]) -> None:
    for path, array in files:
        write_bin(path, array)


_writer: _Writer | None = None


def _start(job: Job) -> None:
    """Initialise a worker process; OpenCV's own threads are disabled, as there are several processes."""
    global _writer
    import cv2

    cv2.setNumThreads(1)
    _writer = _Writer(job)


def _write(chunk: list[Named]) -> list[Item]:
    assert _writer is not None, "the process was not started"
    return list(_writer.write(chunk))


def _chunks(samples: Iterable[Named], size: int) -> Iterator[list[Named]]:
    rest = iter(samples)
    while chunk := list(itertools.islice(rest, size)):
        yield chunk


def default_processes() -> int:
    """One process per CPU that this process may use."""
    return execution.configure("latency").num_threads
