"""Compiled artifact + real images  ->  the time of every stage, end to end, and of inference alone."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densecast.errors import UsageError
from densecast.pipeline import Pipeline, Predicted
from densecast.results.timing import Timing
from densecast.runtime import machine, ordered_map
from densecast.runtime.clock import StopWatch
from densecast.spec.tensor import Array, Dim, Feeds

Progress = Callable[[int, int], None]

SCOPE = {
    "decode": "image file to RGB array, file in the page cache; per image",
    "preprocess": "RGB array to network input; per image",
    "infer": "the engine's call, until its result is there; per call, of which an image seen twice may take two",
    "postprocess": "network output to the prediction in image pixels; per image",
    "end_to_end": "image file to prediction, stages one after another; per batch",
}
BESIDE = ("decode", "preprocess", "postprocess")
_RANDOM_SEED = 0


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """How much is run. A run ends when both `images` and `seconds` are reached.

    Without `batch`, it is what throughput mode was tuned for, else 1.
    """

    batch: int | None = None
    images: int = 50
    seconds: float = 3.0
    warm_up: int = 5

    def __post_init__(self) -> None:
        """Counts are positive."""
        if (self.batch is not None and self.batch < 1) or self.images < 1 or self.warm_up < 0 or self.seconds < 0:
            raise UsageError("--batch and --images must be at least 1, --warm-up and --seconds at least 0.")


def benchmark(
    pipeline: Pipeline,
    images: Sequence[Path],
    options: BenchmarkOptions = BenchmarkOptions(),
    *,
    progress: Progress | None = None,
) -> Timing:
    """Time `images` in turn, around and around; without images, inference on random input alone.

    A pipeline opened for throughput has several images in work at a time, and its stages' times hold what they wait
    for each other. Throughput is images over wall time of the whole loop. `inference_only_per_s` comes from a second
    loop over the same prepared inputs, in as many streams, without anything else in it. An image that the network
    sees twice counts once.

    Raises:
        BadShapeError: the artifact takes neither the images' sizes nor the batch.
    """
    watch = StopWatch()
    batch = options.batch or pipeline.config.batch_size
    prepared = _prepared(pipeline, images, batch)
    warm_up = batch * options.warm_up * pipeline.config.num_workers
    _infer_only(pipeline, prepared, batch, StopWatch(), images=warm_up, seconds=0.0)
    if images:
        _end_to_end(pipeline, _turns(images, batch, warm_up, 0.0), batch, StopWatch(), None)
        told = functools.partial(_tell, progress, options.images) if progress else None
        turns = _turns(images, batch, options.images, options.seconds)
        start = time.perf_counter()
        done = _end_to_end(pipeline, turns, batch, watch, told)
        images_per_s = done / (time.perf_counter() - start)
    alone = StopWatch()
    start = time.perf_counter()
    inferred = _infer_only(pipeline, prepared, batch, alone, images=options.images, seconds=options.seconds)
    inference_only_per_s = inferred / (time.perf_counter() - start)
    if not images:
        watch.samples_ms["infer"] = alone.samples_ms["infer"]
        done, images_per_s = inferred, inference_only_per_s
    return Timing(
        samples_ms={name: tuple(watch.samples_ms[name]) for name in SCOPE if name in watch.samples_ms},
        scope={name: text for name, text in SCOPE.items() if name in watch.samples_ms},
        images=done,
        batch=batch,
        warm_up=options.warm_up,
        threads=pipeline.config.num_threads,
        inputs=f"{len(images)} image files" if images else "random",
        images_per_s=images_per_s,
        inference_only_per_s=inference_only_per_s,
        peak_rss_mb=machine.peak_rss_mb(),
        machine=machine.describe(),
        streams=pipeline.config.num_streams,
        lanes=pipeline.config.num_workers,
        beside_cpu_ms=sum(float(np.median(watch.cpu_ms[name])) for name in BESIDE if name in watch.cpu_ms),
    )


def _turns(images: Sequence[Path], batch: int, count: int, seconds: float) -> Iterator[Path]:
    """Image files, around and around, in whole batches until both `count` and `seconds` are reached."""
    start, position = time.perf_counter(), 0
    while position < count or position % batch or time.perf_counter() - start < seconds:
        yield images[position % len(images)]
        position += 1


def _end_to_end(
    pipeline: Pipeline,
    files: Iterable[Path],
    batch: int,
    watch: StopWatch,
    told: Callable[[int], None] | None,
) -> int:
    """Predict them all; how many there were."""
    done = 0
    with contextlib.closing(pipeline.stream(files, pipeline.read, _dropped, batch=batch, clock=watch)) as results:
        for _ in results:
            done += 1
            if told:
                told(done)
    return done


def _dropped(found: Predicted[Path]) -> None:
    """Nothing is kept of a result that is only timed."""


def _tell(progress: Progress, total: int, done: int) -> None:
    progress(min(done, total), total)


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
    pipeline: Pipeline, feeds: Sequence[Feeds], batch: int, watch: StopWatch, *, images: int, seconds: float
) -> int:
    """Run the network on ready input, in all streams, until both are reached; how many images that were."""

    def work(lane: int, _: int) -> int:
        for feed in feeds:
            with watch("infer"):
                pipeline.infer(feed, lane)
        return batch

    def calls() -> Iterator[int]:
        start, begun = time.perf_counter(), 0
        while begun < images or time.perf_counter() - start < seconds:
            yield begun
            begun += batch

    return sum(ordered_map.ordered_parallel_map(work, calls(), pipeline.config.num_streams))


def _typical(size: Dim) -> int:
    return min(max(size.min, 512 // size.multiple * size.multiple), size.max)
