"""How much faster one network runs than another, timed in turns."""

from __future__ import annotations

import time

import numpy as np

from densecast.pipeline import Pipeline
from densecast.spec.tensor import Array

# A run ends after this many turns, or after this long if at least a few are done.
_QUICK = 0.25
_TURNS, _LEAST_TURNS, _SECONDS = 60, 7, 1.5


def times_faster(candidate: Pipeline, base: Pipeline, images: list[Array]) -> tuple[float, float]:
    """(ratio of the base's time to the candidate's, the candidate's median in milliseconds).

    The two take turns, so that a machine that slows down slows both, and the ratio is of the quarter that was fastest:
    what others do on the machine only ever adds time.
    """
    feeds = [feed for _, feed in candidate.batches(images[:1])]
    times: dict[bool, list[float]] = {True: [], False: []}
    start = time.perf_counter()
    for turn in range(_TURNS + 1):
        for ours in (True, False):
            runner = (candidate if ours else base).runner
            began = time.perf_counter_ns()
            runner.run({candidate.spec.input.name: feeds[0]})
            if turn:  # the first warms up
                times[ours].append((time.perf_counter_ns() - began) / 1e6)
        if turn >= _LEAST_TURNS and time.perf_counter() - start > _SECONDS:
            break
    own, other = (np.array(times[ours]) for ours in (True, False))
    quick, base_quick = (float(np.quantile(each, _QUICK)) for each in (own, other))
    return base_quick / quick, float(np.median(own))
