"""Finds the fastest mixed-precision model whose accuracy drop stays within a limit."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from densecast import artifact
from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.artifact.search_record import SearchRecord, pareto_front
from densecast.errors import GateFailedError, UsageError
from densecast.io import codec, files
from densecast.spec.data_options import Data
from densecast.spec.options import BuildOptions
from densecast.spec.precision import Precision, short
from densecast.spec.store_options import StoreOptions
from densecast.spec.verb_options import MaxDrop
from densecast.verbs._keys import search_key
from densecast.verbs.builder import default_name, golden, refuse_anothers
from densecast.verbs.builder.compile_plan import INT8, prepare
from densecast.verbs.mixed_precision import strategy
from densecast.verbs.mixed_precision.accuracy import AccuracyEvaluator
from densecast.verbs.mixed_precision.candidates import CandidateBuilder
from densecast.verbs.mixed_precision.checkpoint import SearchCheckpoint
from densecast.verbs.mixed_precision.search import Progress, Search
from densecast.verbs.mixed_precision.strategy import HalfLayers

__all__ = ["build_within"]

_HALF: Precision = "force_float16"


def build_within(
    source: FloatArtifact,
    out: Path | None,
    options: BuildOptions,
    max_drop: MaxDrop,
    *,
    data: Path | Data,
    accuracy_data: Path | Data | None = None,
    progress: Progress = lambda what, seconds, budget: None,
    on: str = "local",
) -> CompiledArtifact:
    """Build the fastest model for `options` that loses at most `max_drop.points`, within the time limit.

    Without `out` it is built beside `source`, under a name that says whether int8 or 16 bits are in it. `data` is where
    calibration images come from, and unless `accuracy_data` names another place also those that the drop is measured
    on; `on` names the cluster that does so and gathers int8 ranges (`ray`, `ray:ADDRESS`), whose machines see `data`
    and the folder of `out`. An interrupted search goes on where it stopped; what it
    found is in the manifest's `search`.

    Raises:
        GateFailedError: no int8 model is within the drop, and `max_drop.otherwise` is "fail".
        ParityError: the engine computes something else than the float graph, even in float32.
        UsageError: a precision other than int8, a metric that cannot be measured, a backend without single layers.
        DensecastError: whatever building and evaluating raise.
    """
    if options.precision != INT8:
        raise UsageError(
            f"a search within a drop is among int8 models: leave the precision {short(options.precision)} out.",
            field="precision",
        )
    start = time.monotonic()

    def calibration_progress(done: int, total: int) -> None:
        progress(f"calibration image {done} of {total}", time.monotonic() - start, max_drop.seconds)

    places = {precision: out or _beside(source, options, precision, max_drop) for precision in (INT8, _HALF)}
    if on != "local":
        StoreOptions("counts", on=on)  # checks the form
        places[INT8].parent.mkdir(parents=True, exist_ok=True)
    plan = prepare(source, places[INT8], options, data=data, progress=calibration_progress, on=on)
    measured_on = accuracy_data or data
    # Other machines read candidates and write counts there: beside the result, which they see as well.
    shared = None if on == "local" else places[INT8].parent.absolute()
    with tempfile.TemporaryDirectory(dir=shared, prefix="densecast-search-") as folder:
        accuracy = AccuracyEvaluator(
            plan.spec, measured_on, max_drop, calibration=plan.record, on=on, scratch=Path(folder)
        )
        found_key = search_key(plan.key, measured_on, accuracy.identity, accuracy.metric)
        plan = replace(plan, key=files.sha256_text(repr((found_key, codec.to_json(max_drop)))))
        for place in places.values():
            if (existing := CompiledArtifact.existing(place, plan.key)) is not None:
                return existing
        candidates = CandidateBuilder(plan, Path(folder))
        candidates.check_engine()
        search = Search(candidates, accuracy, SearchCheckpoint(found_key), max_drop, start, progress)
        finished = search.run()
        record, half_layers = _verdict(search, max_drop, finished, time.monotonic() - start)
        place = places[_HALF if half_layers is None else INT8]
        _write(place, candidates, record, half_layers)
    return CompiledArtifact.open(place)


def _beside(source: FloatArtifact, options: BuildOptions, precision: Precision, max_drop: MaxDrop) -> Path:
    name = default_name(source.spec, replace(options, precision=precision))
    return refuse_anothers(source.folder.parent / f"{name}__drop{max_drop.points:g}", source)


def _verdict(
    search: Search, max_drop: MaxDrop, finished: bool, seconds: float
) -> tuple[SearchRecord, HalfLayers | None]:
    """The record, and the layers that stay in half precision; None for the whole network."""
    half, trials = search.half, tuple(search.trials)
    best, why = strategy.winner(trials, max_drop.points)
    if best is None and max_drop.otherwise == "best" and trials:
        best = min(trials, key=lambda trial: trial.worst_drop)
        why += "; taken all the same, as requested"
    elif best is None and max_drop.otherwise == "fail":
        raise GateFailedError(
            f"at most {max_drop.points:g} points: {why}. Allow more, or let it fall back to 16 bits.",
            field="max_drop.points",
        )
    winner = best or half
    if not finished:
        why += "; the time was over before all that looked promising was tried"
    everything = (half, *trials)
    record = SearchRecord(
        options=max_drop,
        metric=search.accuracy.metric,
        reference=search.accuracy.reference_score,
        images=search.accuracy.images,
        ids=tuple(sample.id for sample in search.accuracy.samples),
        layers=len(search.candidates.layers),
        trials=everything,
        pareto_front=tuple(trial.name for trial in pareto_front(everything)),
        winner=winner.name,
        why=why,
        within_limit=winner.is_within(max_drop.points),
        seconds=round(seconds, 1),
        finished=finished,
        sensitivity=search.gain_by_layer(),
    )
    return record, None if best is None else frozenset(best.half_layers)


def _write(out: Path, candidates: CandidateBuilder, record: SearchRecord, half_layers: HalfLayers | None) -> None:
    with artifact.writing(out) as draft:
        built = candidates.write_into(draft.folder, half_layers)
        manifest = candidates.manifest(built, record.seconds, is_half=half_layers is None)
        manifest = replace(manifest, search=record)
        golden.add(draft.folder, manifest)  # that it computes the right thing has been measured
        draft.finish(manifest)
