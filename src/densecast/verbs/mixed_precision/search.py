"""One search under a clock: references, sensitivity, trials; everything measured is remembered at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from densecast.artifact.search_record import SIXTEEN_BIT, MaxDrop, Trial
from densecast.pipeline import Pipeline
from densecast.verbs.mixed_precision import strategy
from densecast.verbs.mixed_precision.judge import Judge
from densecast.verbs.mixed_precision.ledger import Ledger
from densecast.verbs.mixed_precision.sensitivity import Proxy, bundles
from densecast.verbs.mixed_precision.speed import times_faster
from densecast.verbs.mixed_precision.workshop import Workshop

# What is being done, the seconds since the start, and those there are.
Tell = Callable[[str, float, float], None]
Kept = frozenset[str]

# Images of the proxy, and the share of the time that asking for every layer may take.
_PROXY_IMAGES = 8
_PROXY_SHARE = 0.3
_PROXY_LIMIT = 0.45
_FEWEST_BUNDLES = 8
# Two calibrations on the same images differ by rounding alone.
_SAME_WITHIN = 0.02


class OutOfTimeError(Exception):
    """The next step would begin after the end of the time; never leaves this module."""


class Search:
    """What `run` finds is in `wide` and `trials`, however it ends."""

    def __init__(
        self, workshop: Workshop, judge: Judge, ledger: Ledger, asked: MaxDrop, start: float, tell: Tell
    ) -> None:
        self.workshop, self.judge, self._ledger, self._asked = workshop, judge, ledger, asked
        self._start, self._tell = start, tell
        self._pipeline_of_16_bits: Pipeline | None = None
        self._wide: Trial | None = None
        self._asking_s = 1.0
        self._gain: dict[str, float] = {}
        self.trials: list[Trial] = []

    @property
    def wide(self) -> Trial:
        """The 16-bit model, which is what everything is compared with in speed."""
        assert self._wide is not None
        return self._wide

    def gain_by_layer(self) -> dict[str, float]:
        """The share of the int8 model's error that each layer's return to 16 bits takes away."""
        return dict(sorted(self._gain.items(), key=lambda pair: -pair[1]))

    def run(self) -> bool:
        """Whether the search came to its end; if not, the time was over.

        The references are always measured, since without them nothing can be said.
        """
        exact = self.workshop.exact()
        self._say("float32 on a few images")
        self._settle_images(exact)
        self.judge.set_reference(exact, self._tick("float32"))
        proxy = Proxy(exact, self.judge.some(exact, _PROXY_IMAGES))
        self.workshop.discard(exact)
        base = self._pipeline_of_16_bits = self.workshop.wide()
        try:
            self._wide = self._measured(SIXTEEN_BIT, None, base)
            self._forget_what_differs(proxy)
            self._explore(proxy)
        except OutOfTimeError:
            return False
        finally:
            self.workshop.discard(base)
        return True

    def _explore(self, proxy: Proxy) -> None:
        strategy.explore(self._cost_ms(), lambda: self._sensitivity(proxy), self._attempt, self._asked.points)

    def _forget_what_differs(self, proxy: Proxy) -> None:
        """Drop what an earlier part of this search measured, if its int8 model was another one.

        A calibration repeats itself, but the 16-bit type is chosen by times, and so may be another one this time.
        """
        self._check_time()
        self._say("int8 on a few images")
        begin = time.monotonic()
        known = self._ledger.errors.pop("", None)
        found = self._error("", frozenset(), proxy)
        self._asking_s = max(time.monotonic() - begin, 1e-3)
        if known is not None and abs(found - known) > _SAME_WITHIN * known:
            self._ledger.forget()
            self._ledger.errors[""] = found
            self._ledger.save()

    def _settle_images(self, exact: Pipeline) -> None:
        """How many images to judge by: what an earlier part of this search took, or what the time allows."""
        if self._ledger.images:
            self.judge.fix_count(self._ledger.images)
        else:
            self.judge.count_for(self.judge.seconds_per_image(exact))
            self._ledger.images = self.judge.images

    def _sensitivity(self, proxy: Proxy) -> dict[strategy.Bundle, float]:
        """The layers in bundles that the time allows to ask for one by one, and what each brings."""
        begin = time.monotonic()
        whole = self._ledger.errors[""]
        if not self._ledger.bundles:
            self._ledger.bundles = max(_FEWEST_BUNDLES, int(_PROXY_SHARE * self._asked.seconds / self._asking_s))
        parts = bundles(self.workshop.layers, self._ledger.bundles)
        gain: dict[strategy.Bundle, float] = {}
        for done, part in enumerate(parts):
            self._say(f"sensitivity {done + 1} of {len(parts)}")
            self._check_time()
            if time.monotonic() - begin > _PROXY_LIMIT * self._asked.seconds:
                break  # what is known by now is ranked; the rest of the time is for trials
            left = self._error("|".join(part), frozenset(part), proxy)
            gain[part] = 1 - left / whole if whole else 0.0
            self._gain.update(dict.fromkeys(part, gain[part] / len(part)))
        return gain

    def _error(self, name: str, kept: Kept, proxy: Proxy) -> float:
        if name not in self._ledger.errors:
            pipeline = self.workshop.mixed(kept)
            self._ledger.errors[name] = proxy.error(pipeline)
            self.workshop.discard(pipeline)
            self._ledger.save()
        return self._ledger.errors[name]

    def _cost_ms(self) -> dict[str, float]:
        if not self._ledger.cost_ms:
            self._say("time of every layer")
            self._ledger.cost_ms = self.workshop.cost_ms()
            self._ledger.save()
        return self._ledger.cost_ms

    def _attempt(self, kept: Kept) -> Trial:
        """One mixture, measured once."""
        known = next((trial for trial in self.trials if frozenset(trial.kept) == kept), None)
        if known is not None:
            return known
        trial = self._ledger.trials.get(kept)
        if trial is None:
            self._check_time()
            pipeline = self.workshop.mixed(kept)
            try:
                trial = self._measured(self._named(kept), kept, pipeline)
            finally:
                self.workshop.discard(pipeline)
            self._ledger.trials[kept] = trial
            self._ledger.save()
        self.trials.append(trial)
        return trial

    def _measured(self, name: str, kept: Kept | None, pipeline: Pipeline) -> Trial:
        drop = self.judge.drop(pipeline, self._tick(name))
        base = self._pipeline_of_16_bits
        assert base is not None
        speed, infer_ms = times_faster(pipeline, base, [image.array for image in self.judge.some(pipeline, 1)])
        if kept is None:
            speed = 1.0
        return Trial(name, tuple(sorted(kept or ())), drop, speed, infer_ms)

    def _named(self, kept: Kept) -> str:
        """`int8`, `int8 but 3`, and a letter where there was one of that many already."""
        if not kept:
            return "int8"
        name = f"int8 but {len(kept)}"
        taken = {trial.name for trial in (*self.trials, *self._ledger.trials.values())}
        return next(each for number in range(len(taken) + 1) if (each := name + _letters(number)) not in taken)

    def _check_time(self) -> None:
        if time.monotonic() - self._start >= self._asked.seconds:
            raise OutOfTimeError

    def _tick(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self._say(f"{name}: image {done} of {total}")

    def _say(self, what: str) -> None:
        self._tell(what, time.monotonic() - self._start, self._asked.seconds)


def _letters(number: int) -> str:
    """Nothing, then `b`, `c`, …, `z`, `b2`, …"""
    if number == 0:
        return ""
    round_, letter = divmod(number - 1, 25)
    return f" {chr(ord('b') + letter)}{round_ + 1 if round_ else ''}"
