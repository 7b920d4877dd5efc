"""Compiled artifact + real images  ->  the time of every stage, end to end, and of inference alone."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densecast.core import machine
from densecast.core.clock import StopWatch
from densecast.core.errors import UsageError
from densecast.core.tensor import Array, Dim, Feeds
from densecast.core.timing import Timing
from densecast.infer import Pipeline

Progress = Callable[[int, int], None]

SCOPE = {
    "decode": "image file to RGB array, file in the page cache; per image",
    "preprocess": "RGB array to network input; per image",
    "infer": "the engine's synchronous call; per call, of which an image seen twice may take two",
    "postprocess": "network output to the prediction in image pixels; per image",
    "end_to_end": "image file to prediction, stages one after another; per batch",
}
_RANDOM_SEED = 0


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """How much is run. A run ends when both `images` and `seconds` are reached."""

    batch: int = 1
    images: int = 50
    seconds: float = 3.0
    warm_up: int = 5

    def __post_init__(self) -> None:
        """Counts are positive."""
        if self.batch < 1 or self.images < 1 or self.warm_up < 0 or self.seconds < 0:
            raise UsageError("--batch and --images must be at least 1, --warm-up and --seconds at least 0.")


def benchmark(
    pipeline: Pipeline,
    images: Sequence[Path],
    options: BenchmarkOptions = BenchmarkOptions(),
    *,
    progress: Progress | None = None,
) -> Timing:
    """Time `images` in turn, around and around; without images, inference on random input alone.

    Throughput is images over wall time of the whole loop. `inference_only_per_s` comes from a second loop over
    the same prepared inputs, without anything else in it. An image that the network sees twice counts once.

    Raises:
        BadShapeError: the artifact takes neither the images' sizes nor the batch.
    """
    watch = StopWatch()
    prepared = _prepared(pipeline, images, options.batch)
    _infer_only(pipeline, prepared, options.batch, StopWatch(), warm_up=options.warm_up, images=0, seconds=0.0)
    if images:
        for batch in _turns(images, options.batch, options.warm_up, 0.0):
            _one_batch(pipeline, batch, StopWatch())
        start, done = time.perf_counter(), 0
        for batch in _turns(images, options.batch, -(-options.images // options.batch), options.seconds):
            _one_batch(pipeline, batch, watch)
            done += len(batch)
            if progress:
                progress(min(done, options.images), options.images)
        images_per_s = done / (time.perf_counter() - start)
    alone = StopWatch()
    inferred, seconds = _infer_only(
        pipeline, prepared, options.batch, alone, warm_up=1, images=options.images, seconds=options.seconds
    )
    if not images:
        watch.samples_ms["infer"] = alone.samples_ms["infer"]
        done, images_per_s = inferred, inferred / seconds
    return Timing(
        samples_ms={name: tuple(watch.samples_ms[name]) for name in SCOPE if name in watch.samples_ms},
        scope={name: text for name, text in SCOPE.items() if name in watch.samples_ms},
        images=done,
        batch=options.batch,
        warm_up=options.warm_up,
        threads=pipeline.plan.threads,
        inputs=f"{len(images)} image files" if images else "random",
        images_per_s=images_per_s,
        inference_only_per_s=inferred / seconds,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        machine=machine.describe(),
    )


def _turns(images: Sequence[Path], batch: int, batches: int, seconds: float) -> Iterator[list[Path]]:
    """Batches of image files, around and around, until both `batches` and `seconds` are reached."""
    start, position = time.perf_counter(), 0
    while batches > 0 or time.perf_counter() - start < seconds:
        yield [images[(position + offset) % len(images)] for offset in range(batch)]
        position, batches = position + batch, batches - 1


def _one_batch(pipeline: Pipeline, files: Sequence[Path], watch: StopWatch) -> None:
    with watch("end_to_end"):
        prepared = []
        for path in files:
            with watch("decode"):
                image = pipeline.read(path)
            with watch("preprocess"):
                prepared.append(pipeline.prepare(image))
        pipeline.run(prepared, clock=watch)


def _prepared(pipeline: Pipeline, images: Sequence[Path], batch: int) -> list[Feeds]:
    """The ready input of `batch` images: the first ones', as far as of one size, or random values."""
    if images:
        items = [pipeline.prepare(pipeline.read(images[index % len(images)])) for index in range(batch)]
        same = [item if item.array.shape == items[0].array.shape else items[0] for item in items]
        arrays = [array for item in same for array in item.arrays]
    else:
        arrays = _random(pipeline, batch * pipeline.augment.views)
    return [{pipeline.spec.input.name: feed} for _, feed in pipeline.batches(arrays)]


def _random(pipeline: Pipeline, count: int) -> list[Array]:
    """Inputs of the artifact's usual size."""
    sizes = [size if isinstance(size, int) else _typical(size) for size in pipeline.spec.input.shape[1:]]
    values = np.random.default_rng(_RANDOM_SEED).random((count, *sizes), dtype=np.float32)
    return list((values * 255).astype(np.uint8) if pipeline.spec.input.dtype == "uint8" else values)


def _infer_only(
    pipeline: Pipeline,
    feeds: Sequence[Feeds],
    batch: int,
    watch: StopWatch,
    *,
    warm_up: int,
    images: int,
    seconds: float,
) -> tuple[int, float]:
    """Images run and the seconds they took, the input of `batch` of them ready."""
    for _ in range(warm_up):
        for feed in feeds:
            pipeline.runner.run(feed)
    start, done = time.perf_counter(), 0
    while done < images or time.perf_counter() - start < seconds:
        for feed in feeds:
            with watch("infer"):
                pipeline.runner.run(feed)
        done += batch
    return done, time.perf_counter() - start


def _typical(size: Dim) -> int:
    return min(max(size.min, 512 // size.multiple * size.multiple), size.max)
