"""Two builds of one network, measured in turns; and the memory of what was measured before."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np

from densecast.artifact.tune_record import Duel, Rate
from densecast.backends._base import Concurrent, Runner
from densecast.errors import BadConfigError
from densecast.io import cache, codec, files
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec

# A turn lasts at least so long, for the clock and the threads' start not to matter.
_TURN_S = 0.15
_MOST_TURNS, _LEAST_TURNS = 15, 5
# Slow networks get fewer turns.
_DUEL_S = 12.0


class Side:
    """One of the two: a loaded network, what it is fed, and how many inferences run at a time."""

    def __init__(self, runner: Runner, spec: TensorSpec, streams: int, batch: int) -> None:
        self._runner, self._streams, self._batch = runner, streams, batch
        self._feeds = feeds(spec, batch)

    @property
    def is_concurrent(self) -> bool:
        """Whether the engine can run several inferences at a time."""
        return isinstance(self._runner, Concurrent)

    def calls(self, count: int) -> float:
        """Seconds that `count` inferences in each stream take."""
        if self._streams == 1:
            start = time.perf_counter()
            for _ in range(count):
                self._runner.run(self._feeds)
            return time.perf_counter() - start
        runner = self._runner
        assert isinstance(runner, Concurrent)
        errors: list[BaseException] = []

        def work(stream: int) -> None:
            try:
                for _ in range(count):
                    runner.run_in(stream, self._feeds)
            except BaseException as error:  # a thread's own would be lost: it is raised by whoever waits for it
                errors.append(error)

        threads = [threading.Thread(target=work, args=(stream,)) for stream in range(self._streams)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return time.perf_counter() - start

    def is_finite(self) -> bool:
        """Whether the network gives numbers: float16 can overflow."""
        output = next(iter(self._runner.run(self._feeds).values()))
        return bool(np.isfinite(output).all())

    def close(self) -> None:
        """Free the engine's memory."""
        self._runner.close()

    def images(self, count: int) -> int:
        """How many images `calls(count)` takes through the network."""
        return count * self._streams * self._batch


def fight(champion: Side, challenger: Side) -> Duel:
    """Measure both in turns of equal work, after a warm-up that says how long a turn is."""
    sides = (champion, challenger)
    for side in sides:
        side.calls(1)
    counts = [max(1, round(_TURN_S / max(side.calls(1), 1e-6))) for side in sides]
    seconds: list[list[float]] = [[], []]
    start = time.perf_counter()
    while len(seconds[0]) < _MOST_TURNS:
        if len(seconds[0]) >= _LEAST_TURNS and time.perf_counter() - start > _DUEL_S:
            break
        for side, count, taken in zip(sides, counts, seconds, strict=True):
            taken.append(side.calls(count))
    images = [side.images(count) for side, count in zip(sides, counts, strict=True)]
    per_image = [np.asarray(taken) / count for taken, count in zip(seconds, images, strict=True)]
    low, ratio, high = np.percentile(per_image[0] / per_image[1], [25, 50, 75])
    rates = [
        Rate(float(1 / np.median(per_image[index])), float(np.median(seconds[index]) / counts[index] * 1e3))
        for index in range(2)
    ]
    return Duel(rates[0], rates[1], float(ratio), (float(low), float(high)), len(seconds[0]))


def remembered(key: str) -> Duel | None:
    """What this duel came out with before; None if it was never held, or its file is damaged."""
    path = cache.folder() / "tuning" / f"{key}.json"
    try:
        return codec.read(path, Duel)
    except BadConfigError:
        return None


def remember(key: str, duel: Duel) -> None:
    """Keep a duel; a cache that cannot be written costs time later, not the result now."""
    try:
        files.write_text(cache.folder() / "tuning" / f"{key}.json", codec.to_json(duel))
    except OSError:
        return


def feeds(spec: TensorSpec, batch: int) -> Feeds:
    """Random values of the network's input; of open sizes one near 512."""
    sizes: Sequence[int] = [batch, *(size if isinstance(size, int) else _typical(size) for size in spec.shape[1:])]
    values: Array = np.random.default_rng(0).random(sizes, dtype=np.float32)
    return {spec.name: (values * 255).astype(np.uint8) if spec.dtype == "uint8" else values}


def _typical(size: Dim) -> int:
    return min(max(size.min, 512 // size.multiple * size.multiple), size.max)
