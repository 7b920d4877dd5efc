"""Times the models of one engine side by side, image by image in alternation, for what a report says of their speed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.io import cache, files
from densecast.pipeline import Pipeline
from densecast.report.data import Row
from densecast.results.timing import Pace
from densecast.runtime import ab_timing, machine
from densecast.runtime.cpu_load import LoadMeter
from densecast.spec.precision import PRECISIONS, short

# A difference that another run would not turn around.
WORTH_SAYING = 1.02
_MOST_ROUNDS, _FEWEST_ROUNDS = 15, 5
# Of the duration of one timed loop: so long the models of an engine run in turns.
_TIMES_LONGER = 2.0
# A round of a model takes at least so long.
_ROUND_S, _MOST_CALLS = 0.03, 20

Built = tuple[Row, CompiledArtifact]


def with_pace(
    built: Sequence[Built], images: Sequence[Path], seconds: float, *, device: str = "", fresh: bool = False
) -> list[Built]:
    """All rows, each with its speed beside the fastest one of its engine that has more bits, if there is one.

    `seconds` is the duration of a timed loop of one model.
    """
    limits = ab_timing.RoundLimits(most=_MOST_ROUNDS, fewest=_FEWEST_ROUNDS, seconds=_TIMES_LONGER * seconds)
    paced: dict[int, Row] = {}
    for backend in dict.fromkeys(row.backend for row, _ in built):
        places = [place for place, (row, _) in enumerate(built) if row.backend == backend]
        if len(places) > 1:
            paced.update(_paced({place: built[place] for place in places}, images, limits, device, fresh=fresh))
    return [(paced.get(place, row), artifact) for place, (row, artifact) in enumerate(built)]


def _paced(
    of_engine: dict[int, Built],
    images: Sequence[Path],
    limits: ab_timing.RoundLimits,
    device: str,
    *,
    fresh: bool,
) -> dict[int, Row]:
    """The rows of one engine, timed together, or as they were before on this machine and these images."""
    found: dict[int, Row] = {}
    seconds: dict[int, ab_timing.Seconds] = {}
    for place, (row, artifact) in of_engine.items():
        rivals = [other for other, (each, _) in of_engine.items() if _bits(each) > _bits(row)]
        if not rivals:
            continue
        names = [(other, of_engine[other][1].meaning) for other in of_engine]
        parts = (artifact.meaning, names, [path.name for path in images], machine.describe())
        key = files.sha256_text(repr((*parts, device) if device else parts))
        pace = None if fresh else cache.read_record("side_by_side", key, Pace)
        if pace is None:
            if not seconds:
                meter = LoadMeter()
                seconds, cpu_s = _timed(of_engine, images, limits, device)
                load = meter.load()
            rival = min(rivals, key=lambda other: float(np.median(seconds[other])))
            ratio = ab_timing.median_ratio(seconds[rival], seconds[place])
            verdict = ab_timing.decide(ratio, WORTH_SAYING, load)
            pace = Pace(
                short(of_engine[rival][0].asked),
                ratio,
                len(seconds[place]),
                verdict.answer,
                verdict.why,
                ab_timing.cpu_ratio(cpu_s[rival], cpu_s[place]),
                load,
            )
            if not load.is_too_high:
                cache.write_record("side_by_side", key, pace)
        found[place] = replace(row, pace=pace)
    return found


def _timed(
    of_engine: dict[int, Built], images: Sequence[Path], limits: ab_timing.RoundLimits, device: str
) -> tuple[dict[int, ab_timing.Seconds], dict[int, list[float]]]:
    """Wall and CPU seconds of every round of each model; an image is read, and predicted, by all before the next."""
    with contextlib.ExitStack() as stack:
        pipelines = {
            place: stack.enter_context(Pipeline.open(artifact, device=device))
            for place, (_, artifact) in of_engine.items()
        }
        calls = {place: 1 for place in pipelines}
        workloads, cpu_s = [], {place: list[float]() for place in pipelines}
        for place, pipeline in pipelines.items():
            run = _Run(pipeline, images)
            run()
            once_s = ab_timing.timed(run)()
            calls[place] = run.calls = max(1, min(_MOST_CALLS, round(_ROUND_S / max(once_s, 1e-6))))
            workloads.append(ab_timing.cpu_noted(ab_timing.timed(run), cpu_s[place]))
        rounds = ab_timing.interleave(workloads, limits)
    seconds = {place: taken / calls[place] for place, taken in zip(pipelines, rounds, strict=True)}
    return seconds, {place: [each / calls[place] for each in taken] for place, taken in cpu_s.items()}


class _Run:
    """One pipeline's turn: the next `calls` images from file to prediction."""

    def __init__(self, pipeline: Pipeline, images: Sequence[Path]) -> None:
        self._pipeline, self._images, self._next, self.calls = pipeline, images, 0, 1

    def __call__(self) -> None:
        for _ in range(self.calls):
            self._pipeline(self._pipeline.read(self._images[self._next % len(self._images)]))
            self._next += 1


def _bits(row: Row) -> int:
    return -PRECISIONS.index(row.asked)
