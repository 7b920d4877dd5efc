"""Interleaved A/B benchmark of two builds of one network, with a cache of earlier timings."""

from __future__ import annotations

import functools
import threading
import time

import numpy as np

from densecast.artifact.tune_record import ABTiming, Rate
from densecast.backends._base import Runner
from densecast.io import cache
from densecast.runtime import ab_timing
from densecast.runtime.ab_timing import Ratio, Verdict
from densecast.runtime.cpu_load import LoadMeter
from densecast.spec.tensor import Array, Feeds, TensorSpec

# A round of either lasts at least so long, for the clock and the threads' start not to matter.
_ROUND_S = 0.15
# Slow networks get fewer rounds.
_ROUNDS = ab_timing.RoundLimits(most=15, fewest=5, seconds=12.0)
# Of open sizes one near this.
_SIDE = 512


class LoadedSetting:
    """A loaded build with its input feeds and number of streams."""

    def __init__(self, runner: Runner, streams: int, batch: int) -> None:
        self._runner, self._streams, self._batch = runner, streams, batch
        self._feeds = random_feeds(runner.inputs, batch)

    @property
    def is_concurrent_enough(self) -> bool:
        """Whether the engine runs as many concurrent inferences as there are streams."""
        return self._runner.max_concurrency >= self._streams

    def seconds(self, calls: int) -> float:
        """Time `calls` inferences in each stream, in seconds."""
        if self._streams == 1:
            start = time.perf_counter()
            for _ in range(calls):
                self._runner.run(self._feeds)
            return time.perf_counter() - start
        errors: list[BaseException] = []

        def work(slot: int) -> None:
            try:
                for _ in range(calls):
                    self._runner.run(self._feeds, slot)
            except BaseException as error:  # a thread's own would be lost: it is raised by whoever waits for it
                errors.append(error)

        threads = [threading.Thread(target=work, args=(slot,)) for slot in range(self._streams)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return time.perf_counter() - start

    def is_finite(self) -> bool:
        """Whether all outputs are finite: float16 can overflow."""
        return all(bool(np.isfinite(output).all()) for output in self._runner.run(self._feeds).values())

    def close(self) -> None:
        """Release the engine."""
        self._runner.close()

    def images(self, calls: int) -> int:
        """The number of images in `calls` inferences in each stream."""
        return calls * self._streams * self._batch


def benchmark(baseline: LoadedSetting, candidate: LoadedSetting) -> ABTiming:
    """Time both in interleaved rounds of equal length, after a warm-up that determines the calls per round."""
    both = (baseline, candidate)
    for each in both:
        each.seconds(1)
    calls = [max(1, round(_ROUND_S / max(each.seconds(1), 1e-6))) for each in both]
    cpu_s: tuple[list[float], list[float]] = ([], [])
    workloads = [
        ab_timing.cpu_noted(functools.partial(each.seconds, count), taken)
        for each, count, taken in zip(both, calls, cpu_s, strict=True)
    ]
    meter = LoadMeter()
    seconds = ab_timing.interleave(workloads, _ROUNDS)
    load = meter.load()
    per_image = [taken / each.images(count) for each, count, taken in zip(both, calls, seconds, strict=True)]
    rates = [
        Rate(float(1 / np.median(image_s)), float(np.median(taken) / count * 1e3))
        for image_s, taken, count in zip(per_image, seconds, calls, strict=True)
    ]
    low, ratio, high = ab_timing.ratio_quartiles(*per_image)
    sure = ab_timing.median_ratio(*per_image)
    images = [each.images(count) for each, count in zip(both, calls, strict=True)]
    cpu_ratio = ab_timing.cpu_ratio(*(np.array(taken) / count for taken, count in zip(cpu_s, images, strict=True)))
    return ABTiming(rates[0], rates[1], ratio, (low, high), len(seconds[0]), (sure.low, sure.high), cpu_ratio, load)


def decided(timing: ABTiming, required_ratio: float) -> Verdict:
    """Whether the candidate is accepted: fast enough in the median, and surely no slower, on a machine left alone."""
    low, high = timing.interval or timing.quartiles
    return ab_timing.decide(Ratio(timing.ratio, low, high), required_ratio, timing.load)


def outcome(verdict: Verdict, timing: ABTiming, required_ratio: float) -> str:
    """The verdict in as few words as a table has room for; the ratio stands beside it."""
    if verdict.answer == "yes":
        return "taken"
    if verdict.answer == "undecided":
        return verdict.why
    return "not faster" if timing.ratio < 1 else f"{required_ratio:g} times were needed"


def cached(key: str) -> ABTiming | None:
    """The cached timing under this key; None if there is none, or its file is damaged."""
    return cache.read_record("tuning", key, ABTiming)


def store(key: str, timing: ABTiming) -> None:
    """Store a timing; failure to write the cache is ignored."""
    cache.write_record("tuning", key, timing)


def random_feeds(tensors: tuple[TensorSpec, ...], batch: int) -> Feeds:
    """Random values for every input."""
    rng = np.random.default_rng(0)
    feeds: dict[str, Array] = {}
    for tensor in tensors:
        values = rng.random(tensor.typical_shape(_SIDE, batch), dtype=np.float32)
        feeds[tensor.name] = (values * 255).astype(np.uint8) if tensor.dtype == "uint8" else values
    return feeds
