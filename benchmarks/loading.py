"""What it costs to ask, when a model is opened, whether this CPU computes what it was built for; paired, in one run.

    python benchmarks/loading.py ARTIFACT… [--rounds 30] [--cpu-time] [--json FILE]

At home: opening with the question and without it alternate, both from the cache of compiled models; at most 5 ms more
are promised. Elsewhere: this process is made to believe that its CPU has none of the abilities, and its verdict is
forgotten before each round; the first opening then asks the model for its stored answer: at most one inference and
0.5 s more are promised, and a later one costs what it costs at home.

With `--cpu-time` the CPU time of all threads is counted, which others' work disturbs less: on an idle machine the time
that passes is no longer.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.errors import WrongCpuError
from densecast.io import cache
from densecast.runtime import execution, machine
from densecast.session import Session

_VERDICTS = "answers_elsewhere"
_CLOCKS: dict[bool, Callable[[], float]] = {False: time.perf_counter, True: time.process_time}
clock = _CLOCKS[False]


def opened_s(artifact: CompiledArtifact, *, asks: bool) -> float:
    """Seconds of opening and closing it once."""
    config = execution.configure("latency", None)
    began = clock()
    Session.open(artifact, config, check_cpu=asks).close()
    return clock() - began


def inference_s(artifact: CompiledArtifact) -> float:
    """Seconds of one inference of the stored test input's size, after one that warms up."""
    with Session.open(artifact, execution.configure("latency", None), check_cpu=False) as session:
        feeds = {spec.name: np.zeros(spec.typical_shape(512), spec.dtype) for spec in artifact.spec.inputs}
        times = []
        for _ in range(6):
            began = clock()
            session.forward(feeds)
            times.append(clock() - began)
    return statistics.median(times[1:])


def paired_ms(rounds: int, with_it: Callable[[], float], without: Callable[[], float]) -> dict[str, float]:
    """The median of both, and of the differences, in ms; which comes first changes from round to round."""
    pairs = []
    for number in range(rounds):
        first, second = (with_it, without) if number % 2 else (without, with_it)
        times = {first: first(), second: second()}
        pairs.append((times[with_it], times[without]))
    extra = [(left - right) * 1e3 for left, right in pairs]
    with_ms, without_ms = (statistics.median(each[place] for each in pairs) * 1e3 for place in (0, 1))
    return {"with_ms": with_ms, "without_ms": without_ms, "extra_ms": statistics.median(extra), "worst_ms": max(extra)}


def elsewhere(artifact: CompiledArtifact, rounds: int) -> dict[str, Any]:
    """The same on a CPU that has none of what the model's numbers depend on: the first time, and later."""
    verdicts = cache.folder() / _VERDICTS

    def first() -> float:
        shutil.rmtree(verdicts, ignore_errors=True)
        return opened_s(artifact, asks=True)

    def later() -> float:
        return opened_s(artifact, asks=True)

    def without() -> float:
        return opened_s(artifact, asks=False)

    with mock.patch.object(machine, "able", lambda: frozenset()):
        try:
            return {"first": paired_ms(rounds, first, without), "later": paired_ms(rounds, later, without)}
        except WrongCpuError as error:
            return {"refused": str(error)}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifacts", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--cpu-time", action="store_true", help="of all threads, instead of the time that passes")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    global clock
    clock = _CLOCKS[given.cpu_time]
    found: dict[str, Any] = {"load_average": os.getloadavg()}
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"DENSECAST_CACHE": folder}):
        for path in given.artifacts:
            artifact = CompiledArtifact.open(path)
            opened_s(artifact, asks=True)  # compiles, and fills the cache
            home = paired_ms(
                given.rounds, partial(opened_s, artifact, asks=True), partial(opened_s, artifact, asks=False)
            )
            other = elsewhere(artifact, max(4, given.rounds // 3))
            one_ms = inference_s(artifact) * 1e3
            found[str(path)] = {"home": home, "elsewhere": other, "inference_ms": one_ms}
            print(f"{path.name}: at home {home['extra_ms']:+.2f} ms (at most 5), of {home['without_ms']:.1f} ms")
            if "first" in other:
                print(
                    f"  elsewhere first {other['first']['extra_ms']:+.1f} ms (at most {one_ms + 500:.1f}), "
                    f"later {other['later']['extra_ms']:+.2f} ms; one inference takes {one_ms:.1f} ms"
                )
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
