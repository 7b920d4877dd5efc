"""Float artifact + the accuracy that may be lost  ->  the fastest artifact found that loses no more."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from densecast import artifact
from densecast.artifact import Artifact
from densecast.artifact.search_record import MaxDrop, SearchRecord, front
from densecast.errors import GateFailedError, UsageError
from densecast.io import codec, files
from densecast.spec.options import BuildOptions
from densecast.spec.precision import Precision
from densecast.verbs.builder import default_name, golden
from densecast.verbs.builder.compile_plan import INT8, prepare
from densecast.verbs.mixed_precision import strategy
from densecast.verbs.mixed_precision.judge import Judge
from densecast.verbs.mixed_precision.ledger import Ledger
from densecast.verbs.mixed_precision.search import Search, Tell
from densecast.verbs.mixed_precision.workshop import Workshop

__all__ = ["build_within"]

_WIDE: Precision = "force_float16"


def build_within(
    source: Artifact,
    out: Path | None,
    options: BuildOptions,
    asked: MaxDrop,
    *,
    data: Path,
    judge_data: Path | None = None,
    tell: Tell = lambda what, seconds, budget: None,
) -> Artifact:
    """Build the fastest model for `options` that loses at most `asked.points`, as far as the time allows to find it.

    Without `out` it is built beside `source`, under a name that says whether int8 or 16 bits are in it. `data` is where
    calibration images come from, and unless `judge_data` names another place also those that the drop is measured on.
    An interrupted search goes on where it stopped; what it found is in the manifest's `search`.

    Raises:
        GateFailedError: no int8 model keeps the promise, and `asked.otherwise` is "fail".
        UsageError: a precision other than int8, a metric that cannot be measured, a backend without single layers.
        DensecastError: whatever building and evaluating raise.
    """
    if options.precision != INT8:
        raise UsageError(f"--max-drop searches among int8 models; leave --precision {options.precision} out.")
    start = time.monotonic()

    def progress(done: int, total: int) -> None:
        tell(f"calibration image {done} of {total}", time.monotonic() - start, asked.seconds)

    places = {precision: out or _beside(source, options, precision, asked) for precision in (INT8, _WIDE)}
    wanted = prepare(source, places[INT8], options, data=data, progress=progress)
    judge = Judge(wanted.spec, judge_data or data, asked, calibrated=wanted.record)
    state = files.sha256_text(repr((wanted.key, judge.identity, judge.metric)))
    wanted = replace(wanted, key=files.sha256_text(repr((state, codec.to_json(asked)))))
    for place in places.values():
        if (kept := Artifact.kept(place, wanted.key)) is not None:
            return kept
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(wanted, Path(folder))
        search = Search(workshop, judge, Ledger(state), asked, start, tell)
        finished = search.run()
        record, layers = _verdict(search, asked, finished, time.monotonic() - start)
        place = places[_WIDE if layers is None else INT8]
        _write(place, workshop, record, layers)
    return Artifact.open(place)


def _beside(source: Artifact, options: BuildOptions, precision: Precision, asked: MaxDrop) -> Path:
    name = default_name(source.spec, replace(options, precision=precision))
    return source.folder.parent / f"{name}__drop{asked.points:g}"


def _verdict(
    search: Search, asked: MaxDrop, finished: bool, seconds: float
) -> tuple[SearchRecord, frozenset[str] | None]:
    """The record, and the layers that stay in 16 bits; None for all of the network."""
    wide, trials = search.wide, tuple(search.trials)
    best, why = strategy.winner(trials, wide, asked.points)
    if best is None and asked.otherwise == "best" and trials:
        best = min(trials, key=lambda trial: trial.worst_drop)
        why += "; taken all the same, as asked"
    elif best is None and asked.otherwise == "fail":
        raise GateFailedError(f"--max-drop {asked.points:g}: {why}. Allow more, or leave --otherwise out for 16 bits.")
    taken = best or wide
    if not finished:
        why += "; the time was over before all that looked promising was tried"
    everything = (wide, *trials)
    record = SearchRecord(
        asked=asked,
        metric=search.judge.metric,
        reference=search.judge.reference_score,
        images=search.judge.images,
        ids=tuple(sample.id for sample in search.judge.chosen()),
        layers=len(search.workshop.layers),
        trials=everything,
        front=tuple(trial.name for trial in front(everything)),
        winner=taken.name,
        why=why,
        kept_promise=taken.keeps(asked.points),
        seconds=round(seconds, 1),
        finished=finished,
        sensitivity=search.gain_by_layer(),
    )
    return record, None if best is None else frozenset(best.kept)


def _write(out: Path, workshop: Workshop, record: SearchRecord, layers: frozenset[str] | None) -> None:
    with artifact.writing(out) as draft:
        made = workshop.into(draft.folder, layers)
        manifest = replace(workshop.manifest(made, record.seconds, wide=layers is None), search=record)
        golden.add(draft.folder, manifest)  # that it computes the right thing has been measured
        draft.finish(manifest)
