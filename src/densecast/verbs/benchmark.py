"""Measures a compiled artifact's speed: each stage, end to end, and inference alone."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from densecast import windowed
from densecast.errors import UsageError
from densecast.imaging import folder
from densecast.imaging.views import ModelInputs
from densecast.measure.loop import Progress
from densecast.pipeline import Pipeline, Predicted
from densecast.results.timing import BenchmarkResult, Timing, spread_of
from densecast.runtime import machine, ordered_map, stages
from densecast.runtime.batching import Buffers, batches
from densecast.runtime.clock import StopWatch
from densecast.runtime.cpu_load import LoadMeter
from densecast.runtime.energy import EnergyMeter
from densecast.runtime.execution import Mode
from densecast.spec.choices import checked
from densecast.spec.tensor import Feeds
from densecast.spec.verb_options import BenchmarkOptions
from densecast.verbs import benchmark_layers
from densecast.verbs._model import Model, mode_of, opened, record_of

SCOPE = {
    "decode": "image file to RGB array, file in the page cache; per image",
    "preprocess": "RGB array to network input; per image",
    "infer": "the engine's call, until its result is there; per call, of which an image seen twice may take two",
    "postprocess": "network output to the prediction in image pixels; per image",
    "end_to_end": "image file to prediction, stages one after another; per batch",
}
OTHER_STAGES = ("decode", "preprocess", "postprocess")
_RANDOM_SEED = 0
# The median of so many inferences is what a layer takes.
_LAYER_RUNS = 11
# Of sides that may have any size.
_SIDE = 512


@checked
def benchmark(
    model: Model,
    images: Sequence[Path | str] | Path | str = (),
    options: BenchmarkOptions = BenchmarkOptions(),
    *,
    mode: Mode = "latency",
    progress: Progress | None = None,
) -> BenchmarkResult:
    """Time the pipeline on `images`, files or folders, cycling through them; without, time inference on random input.

    An artifact is opened in `mode`, and closed again; a pipeline is used as it is. One opened for throughput has
    several images in work at a time, and its stages' times hold what they wait for each other. Throughput is images
    over wall time of the whole loop. `inference_only_per_s` comes from a second loop over the same prepared inputs, in
    as many streams, without anything else in it. An image that the network sees twice counts once.

    Raises:
        BadShapeError: the artifact does not take the images' sizes.
        UsageError: an inference takes fewer images than the batch, or the engine does not time its layers.
    """
    with opened(model, mode) as pipeline:
        paths = folder.expanded(images)
        profile = benchmark_layers.profile_of(pipeline) if options.layers else None
        timing = _measured(pipeline, paths, options, progress)
        roofline = None
        if profile is not None:
            stages.at("the time of every layer")
            feeds = _network_inputs(pipeline, paths, timing.batch)[0]
            roofline = profile(pipeline.config, feeds, _LAYER_RUNS)
        return BenchmarkResult(timing, mode_of(model, pipeline, mode), record_of(pipeline), roofline=roofline)


def _measured(
    pipeline: Pipeline, images: Sequence[Path], options: BenchmarkOptions, progress: Progress | None
) -> Timing:
    watch, meter, cpu_s = StopWatch(), LoadMeter(), 0.0
    joules: float | None = None
    config = pipeline.config
    # Of sliding windows, so many run together; images come one at a time.
    slides = pipeline.spec.slide is not None
    batch = options.batch or (windowed.windows_at_once(pipeline.session) if slides else config.batch_size)
    together = 1 if slides and images else batch
    if batch > (most := pipeline.session.largest_batch):
        # Run one after another, smaller batches would be told as one of this size.
        raise UsageError(
            f"an inference of this model takes {most} images at most, not {batch}: build it for batches of that size "
            f"(build --batch {batch}, or 1:{batch}).",
            field="batch",
        )
    feeds = _network_inputs(pipeline, images, batch)
    warm_up = together * options.warm_up * config.num_workers
    _run_network(pipeline, feeds, together, StopWatch(), images=warm_up, seconds=0.0)
    if images:
        _run_pipeline(pipeline, _turns(images, together, warm_up, 0.0), batch, StopWatch(), None)
        on_image = functools.partial(_report_progress, progress, options.images) if progress else None
        turns = _turns(images, together, options.images, options.seconds)
        start, cpu_start, energy = time.perf_counter(), time.process_time(), EnergyMeter()
        done = _run_pipeline(pipeline, turns, batch, watch, on_image)
        images_per_s = done / (time.perf_counter() - start)
        cpu_s, joules = time.process_time() - cpu_start, energy.joules()
    network_watch, energy = StopWatch(), EnergyMeter()
    start, cpu_start = time.perf_counter(), time.process_time()
    inferred = _run_network(pipeline, feeds, together, network_watch, images=options.images, seconds=options.seconds)
    inference_only_per_s = inferred / (time.perf_counter() - start)
    if not images:
        watch.samples_ms["infer"] = network_watch.samples_ms["infer"]
        done, images_per_s, cpu_s = inferred, inference_only_per_s, time.process_time() - cpu_start
        joules = energy.joules()
    return Timing(
        samples_ms={name: tuple(watch.samples_ms[name]) for name in SCOPE if name in watch.samples_ms},
        scope={name: text for name, text in _scope(pipeline).items() if name in watch.samples_ms},
        images=done,
        batch=batch,
        warm_up=options.warm_up,
        threads=config.num_threads,
        inputs=f"{len(images)} image files" if images else _random_words(pipeline),
        images_per_s=images_per_s,
        inference_only_per_s=inference_only_per_s,
        peak_rss_mb=machine.peak_rss_mb(),
        machine=machine.describe(),
        streams=config.num_streams,
        workers=config.num_workers,
        other_stages_cpu_ms=sum(float(np.median(watch.cpu_ms[name])) for name in OTHER_STAGES if name in watch.cpu_ms),
        cpu_ms_per_image=cpu_s / done * 1e3,
        spread=spread_of(watch.samples_ms["end_to_end" if images else "infer"]),
        load=meter.load(),
        joules_per_image=None if joules is None else joules / done,
    )


def _scope(pipeline: Pipeline) -> dict[str, str]:
    """What each stage's times cover, with the words for sliding windows where there are some."""
    if pipeline.spec.slide is None:
        return SCOPE
    return SCOPE | {
        "preprocess": "RGB array to the network inputs of all sliding windows; per image",
        "infer": f"the engine's calls for all sliding windows ({pipeline.spec.slide}); per image",
        "postprocess": "outputs of all sliding windows to the prediction in image pixels; per image",
    }


def _random_words(pipeline: Pipeline) -> str:
    return "random" if pipeline.spec.slide is None else "random, one sliding window an image"


def _turns(images: Sequence[Path], batch: int, count: int, seconds: float) -> Iterator[Path]:
    """Cycle through image files, in whole batches, until both `count` and `seconds` are reached."""
    start, position = time.perf_counter(), 0
    while position < count or position % batch or time.perf_counter() - start < seconds:
        yield images[position % len(images)]
        position += 1


def _run_pipeline(
    pipeline: Pipeline,
    files: Iterable[Path],
    batch: int,
    watch: StopWatch,
    on_image: Callable[[int], None] | None,
) -> int:
    """Predict all files; returns how many there were."""
    done = 0
    stream = pipeline.stream(files, pipeline.read, _drop, batch=batch, clock=watch)
    with contextlib.closing(stream) as results:
        for _ in results:
            done += 1
            if on_image:
                on_image(done)
    return done


def _drop(predicted: Predicted[Path]) -> None:
    """Discard a result."""


def _report_progress(progress: Progress, total: int, done: int) -> None:
    progress(min(done, total), total)


def _network_inputs(pipeline: Pipeline, images: Sequence[Path], batch: int) -> list[Feeds]:
    """Network input for `batch` images: of the first ones that share one size, or random values."""
    if pipeline.spec.slide is not None:
        return _window_inputs(pipeline, images, batch)
    if images:
        inputs = [pipeline.preprocess(pipeline.read(images[index % len(images)])) for index in range(batch)]
        first = inputs[0]
        items = [feed for each in inputs for feed in (each if _sizes(each) == _sizes(first) else first).feeds]
    else:
        items = _random_inputs(pipeline, batch * pipeline.augment.views)
    return [feeds for _, feeds in batches(items, pipeline.spec.inputs, pipeline.session.batch_sizes, Buffers())]


def _window_inputs(pipeline: Pipeline, images: Sequence[Path], batch: int) -> list[Feeds]:
    """Network input for all sliding windows of the first image, or without images for `batch` windows.

    One batch of windows stands for all of them, so that memory does not hold every window of a large image.
    """
    tensor = pipeline.spec.input
    if images:
        inputs = pipeline.preprocess(pipeline.read(images[0]))
        windows = len(inputs.feeds)
        chosen = [inputs.feeds[index][tensor.name] for index in range(min(batch, windows))]
    else:
        windows = batch * pipeline.augment.views
        chosen = [each[tensor.name] for each in _random_inputs(pipeline, min(batch, windows))]
    items = [{tensor.name: array} for array in chosen]
    full, rest = divmod(windows, len(items))

    def batched(some: Sequence[Feeds]) -> list[Feeds]:
        sizes = pipeline.session.batch_sizes
        return [feeds for _, feeds in batches(some, pipeline.spec.inputs, sizes, Buffers())]

    return batched(items) * full + batched(items[:rest])


def _sizes(inputs: ModelInputs) -> list[tuple[int, ...]]:
    """Shapes of the first view's arrays."""
    return [array.shape for array in inputs.feeds[0].values()]


def _random_inputs(pipeline: Pipeline, count: int) -> list[Feeds]:
    """Random inputs of the artifact's typical size."""
    rng = np.random.default_rng(_RANDOM_SEED)
    by_name: Feeds = {}
    for tensor in pipeline.spec.inputs:
        shape = tensor.typical_shape(_SIDE, count)
        if pipeline.spec.slide is not None:
            shape = (*shape[:2], *pipeline.spec.slide.crop_hw)
        values = rng.random(shape, dtype=np.float32)
        by_name[tensor.name] = (values * 255).astype(np.uint8) if tensor.dtype == "uint8" else values
    return [{name: values[row] for name, values in by_name.items()} for row in range(count)]


def _run_network(
    pipeline: Pipeline, feeds: Sequence[Feeds], batch: int, watch: StopWatch, *, images: int, seconds: float
) -> int:
    """Run the network on prepared input in all streams until both limits are reached; returns the number of images."""

    def work(worker: int, begun: int) -> int:
        with pipeline.session.lease() as slot:
            for feed in feeds:
                with watch("infer"):
                    slot.run(feed)
        return batch

    def calls() -> Iterator[int]:
        start, begun = time.perf_counter(), 0
        while begun < images or time.perf_counter() - start < seconds:
            yield begun
            begun += batch

    return sum(ordered_map.ordered_parallel_map(work, calls(), pipeline.config.num_streams))
