"""Runs an OpenVINO model on every calibration image, and gathers statistics of its activations: on all CPUs, in order.

Several images are in work at a time, each with threads of the engine's and a buffer of its own: one thread for each
image leaves fewer CPUs idle than all threads for one. What depends on the images' order is done in their order, so that
the statistics are the same with any number of threads.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from densecast.backends._shown_activations import least_bytes, most_bytes_shown
from densecast.backends._value_statistics import ChannelMeans, Extremes, ValueStatistics
from densecast.errors import BadGraphError
from densecast.runtime.machine import usable_cpus
from densecast.runtime.ordered_map import ordered_parallel_map
from densecast.spec.tensor import Array, Feeds

# More images at a time gain little, and the activations of each are held at once: all together take at most so much.
MOST_BYTES = 1 << 30
_MOST_IMAGES = 4


@dataclass(frozen=True, slots=True)
class RangeTaker:
    """Statistics of a layer's values, and the numbers of the outputs that they take: the values, or both extremes."""

    layer: str
    statistics: ValueStatistics
    outputs: tuple[int, ...]

    def extremes(self, values: Sequence[Array]) -> Extremes:
        """The extremes of one image, whose outputs are `values`."""
        taken: list[Any] = [values[number] for number in self.outputs]
        return self.statistics.extremes_found(*taken) if len(taken) > 1 else self.statistics.extremes(*taken)


# Outputs, and who takes them: ranges, or means.
_Unit = tuple[tuple[int, ...], RangeTaker | None, ChannelMeans | None]


class StatisticsPass:
    """A pass over images: `outputs` of a model with `parameters`, and who takes which of them."""

    def __init__(
        self,
        outputs: Sequence[Any],
        parameters: Sequence[Any],
        ranges: Sequence[RangeTaker],
        means: Sequence[tuple[int, ChannelMeans]],
    ) -> None:
        import openvino as ov

        self.model = ov.Model(outputs, parameters, "statistics")
        self._outputs, self._parameters = outputs, parameters
        self._count, self.ranges, self.means = len(outputs), ranges, means
        self._counted = [taker for taker in ranges if len(taker.outputs) == 1]
        self._requests: list[Any] = []

    def run(self, calibration: Sequence[Feeds], before: int = 0, *, most_bytes: int | None = None) -> None:
        """Run every image once; a later call goes on. `before` is the number of images that came before, for errors.

        Where the outputs for one image take more than `most_bytes` (None: `most_bytes_shown`), every image runs once
        for each part of them.

        Raises:
            BadGraphError: a layer gives values that are no numbers.
        """
        images = iter(calibration)
        first = next(images)
        parts = self._parts(first, most_bytes_shown() if most_bytes is None else most_bytes)
        for part in parts:
            part._run(first, images, len(calibration), before)
            if len(parts) > 1:
                part._requests.clear()  # they hold the outputs
            images = itertools.islice(iter(calibration), 1, None)

    def _parts(self, feeds: Feeds, most_bytes: int) -> list[StatisticsPass]:
        """Passes whose outputs take at most so much for one image, or are one taker's alone; mostly this one."""
        sizes = self._sizes(feeds)
        if sum(sizes) <= most_bytes:
            return [self]
        units: list[_Unit] = [(taker.outputs, taker, None) for taker in self.ranges]
        units += [((output,), None, channels) for output, channels in self.means]
        parts: list[list[_Unit]] = []
        shown: set[int] = set()
        for unit in sorted(units, key=lambda each: each[0]):
            more = shown | set(unit[0])
            if not parts or sum(sizes[each] for each in more) > most_bytes:
                parts.append([])
                more = set(unit[0])
            parts[-1].append(unit)
            shown = more
        return [self._part(units) for units in parts]

    def _part(self, units: Sequence[_Unit]) -> StatisticsPass:
        numbers = sorted({output for outputs, _, _ in units for output in outputs})
        place = {number: index for index, number in enumerate(numbers)}
        ranges = [
            replace(taker, outputs=tuple(place[each] for each in outputs))
            for outputs, taker, _ in units
            if taker is not None
        ]
        means = [(place[outputs[0]], channels) for outputs, _, channels in units if channels is not None]
        return StatisticsPass([self._outputs[number] for number in numbers], self._parameters, ranges, means)

    def _run(self, first: Feeds, others: Iterable[Feeds], count: int, before: int) -> None:
        cpus = usable_cpus()
        self._requests = self._requests or self._opened(first, min(cpus, _MOST_IMAGES, count), cpus)
        at_a_time = len(self._requests)
        widening, merging = _Turns(before), _Turns(before)
        with ThreadPoolExecutor(max(cpus // at_a_time, 1)) as pool:
            each: _Each = map if at_a_time == cpus else pool.map

            def take_in(worker: int, numbered: tuple[int, Feeds]) -> None:
                with _ended_by_error(numbered[0], widening, merging):
                    self._take_in(self._requests[worker], *numbered, widening, merging, each)

            items = enumerate(itertools.chain([first], others), before)
            for _ in ordered_parallel_map(take_in, items, at_a_time, ahead=at_a_time):
                pass

    def _opened(self, first: Feeds, most: int, cpus: int) -> list[Any]:
        """Requests of the compiled model: one for each image that is in work at a time, at most so many."""
        import openvino as ov

        at_a_time = max(1, min(most, MOST_BYTES // max(sum(self._sizes(first)), 1)))
        settings = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": at_a_time, "INFERENCE_NUM_THREADS": cpus}
        compiled = ov.Core().compile_model(self.model, "CPU", settings)
        return [compiled.create_infer_request() for _ in range(at_a_time)]

    def _take_in(self, request: Any, number: int, feeds: Feeds, widening: _Turns, merging: _Turns, each: _Each) -> None:
        request.infer(feeds, share_inputs=True, share_outputs=True)
        values = [request.get_output_tensor(output).data for output in range(self._count)]
        found = list(each(lambda taker: taker.extremes(values), self.ranges))
        for taker, extremes in zip(self.ranges, found, strict=True):
            if not extremes.are_finite:
                raise BadGraphError(
                    f"layer {taker.layer!r} gives values that are not finite on calibration image {number + 1}, in "
                    "float32 as well: its weights are broken, or it is made for images of another normalisation."
                )
        with widening.of(number):
            ends = {id(taker): taker.statistics.widen(one) for taker, one in zip(self.ranges, found, strict=True)}
        counts = list(
            each(lambda taker: taker.statistics.counts(values[taker.outputs[0]], ends[id(taker)]), self._counted)
        )
        means = list(each(lambda taken: taken[1].of(values[taken[0]]), self.means))
        with merging.of(number):
            for taker, counted in zip(self._counted, counts, strict=True):
                taker.statistics.merge(counted)
            for (output, channels), mean in zip(self.means, means, strict=True):
                channels.merge(mean, values[output].shape)

    def _sizes(self, feeds: Feeds) -> list[int]:
        """The bytes of each output for one image."""
        sized = self.model.clone()
        sized.reshape({name: values.shape for name, values in feeds.items()})
        return [least_bytes(output) for output in sized.outputs]


_Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


class _EndedError(Exception):
    """Another thread has failed, so that a turn never comes; never leaves this module."""


class _Turns:
    """Lets threads through one at a time, by number."""

    def __init__(self, first: int) -> None:
        self._changed, self._next, self._failed = threading.Condition(), first, math.inf

    @contextlib.contextmanager
    def of(self, number: int) -> Iterator[None]:
        """Wait for the turn of a number; the next has its turn afterwards."""
        with self._changed:
            self._changed.wait_for(lambda: self._next == number or self._failed < number)
            if self._next != number:
                raise _EndedError
        yield
        with self._changed:
            self._next += 1
            self._changed.notify_all()

    def end(self, failed: int) -> None:
        """Let nobody wait for the turns after one that failed."""
        with self._changed:
            self._failed = min(failed, self._failed)
            self._changed.notify_all()


@contextlib.contextmanager
def _ended_by_error(number: int, *turns: _Turns) -> Iterator[None]:
    """End the turns if the work of a number fails: others wait for its turn to be over."""
    try:
        yield
    except BaseException:
        for each in turns:
            each.end(number)
        raise
