"""Runs one search within a time limit: references, sensitivity, trials; each measurement is checkpointed at once."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable

from densecast.artifact.search_record import HALF_PRECISION, Trial
from densecast.pipeline import Pipeline
from densecast.runtime.cpu_load import LoadMeter
from densecast.runtime.ordered_map import ordered_parallel_map
from densecast.spec.verb_options import MaxDrop
from densecast.verbs.mixed_precision import strategy
from densecast.verbs.mixed_precision.accuracy import AccuracyEvaluator
from densecast.verbs.mixed_precision.candidates import CandidateBuilder, measure_speed
from densecast.verbs.mixed_precision.checkpoint import SearchCheckpoint
from densecast.verbs.mixed_precision.sensitivity import Proxy, layer_groups
from densecast.verbs.mixed_precision.strategy import HalfLayers, LayerGroup

log = logging.getLogger(__name__)

# What is being done, the seconds since the start, and those there are.
Progress = Callable[[str, float, float], None]

# Images of the proxy, and the share of the time that measuring every layer by it may take.
_PROXY_IMAGES = 8
_PROXY_SHARE = 0.3
_PROXY_LIMIT = 0.45
_FEWEST_GROUPS = 8
# Two calibrations on the same images differ by rounding alone.
_SAME_WITHIN = 0.02


class OutOfTimeError(Exception):
    """The time limit is reached; never leaves this module."""


class Search:
    """A search; what `run` has measured is in `half` and `trials`, however it ends."""

    def __init__(
        self,
        candidates: CandidateBuilder,
        accuracy: AccuracyEvaluator,
        checkpoint: SearchCheckpoint,
        options: MaxDrop,
        start: float,
        progress: Progress,
    ) -> None:
        self.candidates, self.accuracy, self._checkpoint, self._options = candidates, accuracy, checkpoint, options
        self._start, self._progress = start, progress
        self._half_pipeline: Pipeline | None = None
        self._int8: Pipeline | None = None
        self._half: Trial | None = None
        self._seconds_per_error = 1.0
        self._gain: dict[str, float] = {}
        self.trials: list[Trial] = []

    @property
    def half(self) -> Trial:
        """The half-precision model, the baseline of all speed-ups."""
        assert self._half is not None
        return self._half

    def gain_by_layer(self) -> dict[str, float]:
        """The share of the int8 model's error that each layer removes if it stays in half precision."""
        return dict(sorted(self._gain.items(), key=lambda pair: -pair[1]))

    def run(self) -> bool:
        """Run the search; returns whether it finished before the time limit.

        The references are always measured, since without them nothing can be said.
        """
        float32 = self.candidates.float32()
        self._say("float32 on a few images")
        self._set_images(float32)
        self.accuracy.measure_reference(float32, self._image_progress("float32"))
        proxy = Proxy(float32, self.accuracy.some_inputs(float32, _PROXY_IMAGES))
        self.candidates.discard(float32)
        half = self._half_pipeline = self.candidates.half()
        try:
            self._half = self._measured(HALF_PRECISION, None, half)
            self._clear_if_stale(proxy)
            strategy.explore(self._cost_ms(), lambda: self._sensitivity(proxy), self._trial, self._options.points)
        except OutOfTimeError:
            return False
        finally:
            for pipeline in (half, self._int8):
                if pipeline is not None:
                    self.candidates.discard(pipeline)
        return True

    def _clear_if_stale(self, proxy: Proxy) -> None:
        """Discard measurements of an interrupted search if its int8 model was a different one.

        A calibration repeats itself, but the 16-bit type is chosen by times, and so may be another one this time.
        """
        self._check_time()
        self._say("int8 on a few images")
        begin = time.monotonic()
        earlier_error = self._checkpoint.errors.pop("", None)
        # Its trial is the first one, on all images.
        self._int8 = self.candidates.mixed(frozenset())
        error = self._noted_error((), proxy.error(self._int8))
        self._seconds_per_error = max(time.monotonic() - begin, 1e-3)
        if earlier_error is not None and abs(error - earlier_error) > _SAME_WITHIN * earlier_error:
            self._checkpoint.clear()
            self._checkpoint.errors[""] = error
            self._checkpoint.save()

    def _set_images(self, float32: Pipeline) -> None:
        """Set the number of images: that of the interrupted search, or what the time allows."""
        if self._checkpoint.images:
            self.accuracy.set_count(self._checkpoint.images)
        else:
            self.accuracy.choose_count(self.accuracy.seconds_per_image(float32))
            self._checkpoint.images = self.accuracy.images

    def _sensitivity(self, proxy: Proxy) -> dict[LayerGroup, float]:
        """Measure the sensitivity of as many layer groups as the time allows."""
        begin = time.monotonic()
        whole_error = self._checkpoint.errors[""]
        if not self._checkpoint.groups:
            affordable = int(_PROXY_SHARE * self._options.seconds / self._seconds_per_error)
            self._checkpoint.groups = max(_FEWEST_GROUPS, affordable)
        groups = layer_groups(self.candidates.layers, self._checkpoint.groups)
        gain: dict[LayerGroup, float] = {}
        # While one is run on the images, the next is built, which takes one CPU.
        errors = ordered_parallel_map(lambda worker, group: self._measured_error(group, proxy), groups, 2, ahead=2)
        with contextlib.closing(errors):
            for done, group in enumerate(groups):
                self._say(f"sensitivity {done + 1} of {len(groups)}")
                self._check_time()
                if time.monotonic() - begin > _PROXY_LIMIT * self._options.seconds:
                    break  # what is known by now is ranked; the rest of the time is for trials
                error = self._noted_error(group, next(errors))
                gain[group] = 1 - error / whole_error if whole_error else 0.0
                self._gain.update(dict.fromkeys(group, gain[group] / len(group)))
        return gain

    def _noted_error(self, half_layers: LayerGroup, error: float) -> float:
        if self._checkpoint.errors.get(name := "|".join(half_layers)) != error:
            self._checkpoint.errors[name] = error
            self._checkpoint.save()
        return error

    def _measured_error(self, half_layers: LayerGroup, proxy: Proxy) -> float:
        if (known := self._checkpoint.errors.get("|".join(half_layers))) is not None:
            return known
        pipeline = self.candidates.mixed(frozenset(half_layers))
        try:
            return proxy.error(pipeline)
        finally:
            self.candidates.discard(pipeline)

    def _cost_ms(self) -> dict[str, float]:
        if not self._checkpoint.cost_ms:
            self._say("time of every layer")
            meter = LoadMeter()
            self._checkpoint.cost_ms = self.candidates.cost_ms()
            self._checkpoint.save()
            if (load := meter.load()).is_too_high:
                log.info("while the time of every layer was measured, %s: the order of trials may be another.", load)
        return self._checkpoint.cost_ms

    def _trial(self, half_layers: HalfLayers) -> Trial:
        """Measure a mixed-precision configuration, once."""
        earlier = next((trial for trial in self.trials if frozenset(trial.half_layers) == half_layers), None)
        if earlier is not None:
            return earlier
        trial = self._checkpoint.trials.get(half_layers)
        if trial is None:
            self._check_time()
            pipeline = self._opened(half_layers)
            try:
                trial = self._measured(self._trial_name(half_layers), half_layers, pipeline)
            finally:
                self.candidates.discard(pipeline)
            self._checkpoint.trials[half_layers] = trial
            self._checkpoint.save()
        self.trials.append(trial)
        return trial

    def _opened(self, half_layers: HalfLayers) -> Pipeline:
        """A configuration's pipeline: the one of int8 alone that is open, or a new one."""
        if half_layers or self._int8 is None:
            return self.candidates.mixed(half_layers)
        pipeline, self._int8 = self._int8, None
        return pipeline

    def _measured(self, name: str, half_layers: HalfLayers | None, pipeline: Pipeline) -> Trial:
        drop = self.accuracy.drop(pipeline, self._image_progress(name))
        baseline = self._half_pipeline
        assert baseline is not None
        (inputs,) = self.accuracy.some_inputs(pipeline, 1)
        measured = measure_speed(pipeline, baseline, inputs)
        if half_layers is None:
            return Trial(name, (), drop, 1.0, measured.infer_ms, load=measured.load)
        return Trial(
            name,
            tuple(sorted(half_layers)),
            drop,
            measured.speed,
            measured.infer_ms,
            measured.speed_range,
            measured.cpu_speed,
            measured.load,
        )

    def _trial_name(self, half_layers: HalfLayers) -> str:
        """The name of a trial: `int8`, `int8 but 3`, with a letter if the name is taken."""
        if not half_layers:
            return "int8"
        name = f"int8 but {len(half_layers)}"
        taken = {trial.name for trial in (*self.trials, *self._checkpoint.trials.values())}
        return next(each for number in range(len(taken) + 1) if (each := name + _letters(number)) not in taken)

    def _check_time(self) -> None:
        if time.monotonic() - self._start >= self._options.seconds:
            raise OutOfTimeError

    def _image_progress(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self._say(f"{name}: image {done} of {total}")

    def _say(self, what: str) -> None:
        self._progress(what, time.monotonic() - self._start, self._options.seconds)


def _letters(number: int) -> str:
    """Suffixes for repeated names: none, then `b`, `c`, …, `z`, `b2`, …"""
    if number == 0:
        return ""
    round_, letter = divmod(number - 1, 25)
    return f" {chr(ord('b') + letter)}{round_ + 1 if round_ else ''}"
