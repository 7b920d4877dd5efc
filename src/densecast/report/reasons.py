"""Explains how a build was chosen: the measurements as sentences, tables and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from densecast.artifact import CalibrationRecord, CompiledArtifact
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.artifact.search_record import HALF_PRECISION, SearchRecord, Trial
from densecast.artifact.target_record import TargetRecord
from densecast.artifact.tune_record import TuneRecord
from densecast.report import pareto
from densecast.report.data import Reasons
from densecast.report.plot import NARROW
from densecast.runtime.ab_timing import Ratio
from densecast.runtime.cpu_load import CpuLoad
from densecast.spec import cpu as cpus
from densecast.spec.cpu import Ability
from densecast.spec.precision import Precision, short

# Longer lists are in the JSON.
_NAMED_LAYERS = 12
_HALF_TYPES: dict[Ability, str] = {"bfloat16": "bfloat16", "float16": "float16"}
_BIASES = {"fast": "corrected", "full": "corrected, in full", "none": "left alone"}


@dataclass(frozen=True, slots=True)
class Section:
    """One choice: its outcome, everything that was tried, and an SVG chart if there is one, wide and narrow.

    `align` has one `<` or `>` a column.
    """

    title: str
    sentences: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str
    chart: str = ""
    narrow_chart: str = ""


def sections(reasons: Reasons) -> list[Section]:
    """One section for each choice that was made by measurement."""
    made = []
    if reasons.search is not None:
        made.append(of_search(reasons.search))
    if reasons.tuning is not None:
        made.append(of_tuning(reasons.tuning))
    if reasons.calibration is not None and reasons.calibration.tried:
        made.append(of_calibration(reasons.calibration))
    return made


def summary(artifact: CompiledArtifact) -> list[str]:
    """Summary of an artifact: the precision requested, the one that runs, and why."""
    manifest = artifact.manifest
    requested = short(manifest.precision_asked)
    lines = [f"{manifest.build.backend}, asked {requested}, runs {manifest.precision_ran}; {artifact.spec.input}."]
    if manifest.fallback is not None:
        lines.append(
            f"Holds {short(manifest.build.precision)}, not the {requested} that was requested: {manifest.fallback}."
        )
    if manifest.measurements:
        figures = ", ".join(f"{name} {value:.2f}" for name, value in manifest.measurements.items())
        lines.append(f"{', '.join(manifest.settings.values())} chosen by measurement ({figures}).")
    if manifest.calibration is not None:
        lines += [f"int8: {remark}." for remark in manifest.calibration.remarks]
    if manifest.half_type is not None:
        lines.append(of_half_type(manifest.half_type))
    if manifest.target is not None:
        lines.append(of_target(manifest.target, manifest.build.precision))
    if not sections(Reasons.of(manifest)):
        lines.append("Nothing else was chosen by measurement: it was built as requested.")
    return lines


def of_target(record: TargetRecord, precision: Precision) -> str:
    """The CPUs that a build is for, and what they decided of it, as a sentence or two."""
    kind = cpus.target(record.cpu)
    found = [f"For CPUs as {kind.words} ({record.cpu})" if kind else "For all CPUs (any)"]
    if record.weight_bits:
        found.append(f"int8 weights in {record.weight_bits} of 8 bits")
    half = next((_HALF_TYPES[each] for each in record.needs if each in _HALF_TYPES), None)
    if half is not None:
        found.append(f"layers in 16 bits are {half}, and float32 on a CPU without it")
    elif precision != "force_float32":
        found.append("what is not int8 is float32")
    if record.needs:
        found.append("a CPU that lacks any of it is asked for the stored answer first")
    return f"{'; '.join(found)}. Nothing in it is precompiled: each machine keeps its own in the cache."


def of_half_type(record: HalfTypeRecord) -> str:
    """The 16-bit type and why, as a sentence."""
    sentence = f"16-bit type {record.chosen}: {record.why}"
    if record.cpu_ms:
        figures = ", ".join(f"{name} {value:.2f} ms" for name, value in record.cpu_ms.items())
        again = ", measured before" if record.from_cache else ""
        sentence += f" (CPU time in one thread, {record.rounds} rounds in alternation: {figures}{again})"
    return f"{sentence}."


def of_calibration(record: CalibrationRecord) -> Section:
    """How much each calibration method and bias correction changed the outputs."""
    measure = "labels changed" if record.measure == "labels_changed" else "relative L2 error"
    taken = (record.calibration_method, record.bias_correction)
    tried = [((name, _first_bias(record)), value) for name, value in record.tried.items()]
    tried += [((record.calibration_method, bias), value) for bias, value in record.tried_biases.items()]
    rows = [
        (
            calibration_method,
            _BIASES.get(bias, ""),
            f"{value:.3%}",
            "taken" if (calibration_method, bias) == taken else "",
        )
        for (calibration_method, bias), value in dict(tried).items()
    ]
    return Section(
        "int8 ranges",
        (
            f"{record.activations or 'int8'} ranges by {record.calibration_method}: {_bought(record, measure)}",
            f"{record.count} calibration images ({record.source}). The ways were compared on a few of them, by what "
            "they do to the outputs of others against float32; another than the default has to be a twentieth better.",
        ),
        ("ranges by", "biases", measure, ""),
        tuple(rows),
        "<<><",
    )


def _first_bias(record: CalibrationRecord) -> str:
    """How biases were treated while calibration methods were compared."""
    return next(iter(record.tried_biases), record.bias_correction)


def _bought(record: CalibrationRecord, measure: str) -> str:
    """The change of the chosen methods, next to that of the rejected ones."""
    others = [value for name, value in record.tried.items() if name != record.calibration_method]
    sentence = f"{record.tried[record.calibration_method]:.3%} {measure}"
    if others:
        apart = sorted({f"{min(others):.3%}", f"{max(others):.3%}"})
        sentence += f", the others {' to '.join(apart)}"
    if record.tried_biases:
        ways = (f"{_BIASES[name]} {value:.3%}" for name, value in record.tried_biases.items())
        sentence += f"; with biases {', '.join(ways)}"
    return sentence


def of_tuning(record: TuneRecord) -> Section:
    """Every trial in order, and the selected setting."""
    rows = []
    for trial in record.trials:
        figures = ("", "", "")
        if trial.timing:
            (low, high), rate = trial.timing.interval or trial.timing.quartiles, trial.timing.candidate
            ratio = str(Ratio(trial.timing.ratio, low, high))
            figures = (ratio, f"{rate.images_per_s:.2f}", f"{rate.latency_ms:.1f}")
        rows.append((trial.what, *figures, trial.why + (" (measured before)" if trial.from_cache else "")))
    first = f", which at first was {record.trials[0].baseline}" if record.trials else ""
    return Section(
        f"tuned for {record.options.goal}",
        (
            f"{record.winner}: {record.why}",
            f"Each was timed in alternation with the best so far{first}, on {record.threads} threads, in "
            f"{record.seconds:.0f} s of {record.options.seconds:.0f}. In brackets: where the median over rounds surely "
            f"lies.{_loads([trial.timing.load for trial in record.trials if trial.timing])}",
        ),
        ("tried", "times as fast as the best so far", "images/s", "ms a call", "outcome"),
        tuple(rows),
        "<>>><",
    )


def of_search(record: SearchRecord) -> Section:
    """All mixed-precision configurations, fastest first, with the Pareto front marked."""
    winner = next((trial for trial in record.trials if trial.name == record.winner), None)
    verdict = "The limit is kept." if record.within_limit else "The limit is not kept."
    sentences = [
        f"taken: {record.winner}: {record.why}",
        f"Allowed: at most {record.options.points:g} points of {record.metric}, with the upper end of the 95 % "
        f"interval. {verdict} In float32 it is {record.reference:.4f}, over {record.images} images; "
        f"{record.layers} layers, {record.seconds:.0f} s of {record.options.seconds:.0f} s.",
    ]
    sentences[-1] += _loads([trial.load for trial in record.trials])
    if winner is not None and winner.half_layers:
        sentences.append(_layers(winner, record))
    return Section(
        f"int8 within {record.options.points:g} points",
        tuple(sentences),
        (
            "model",
            f"{record.metric} drop, points",
            "95 %",
            "times 16-bit speed",
            "ms",
            "in 16 bits",
            "within limit",
            "",
        ),
        tuple(_trial(trial, record) for trial in sorted(record.trials, key=lambda trial: -trial.speed)),
        "<><>>><<",
        pareto.draw(record),
        pareto.draw(record, NARROW),
    )


def _loads(loads: Sequence[CpuLoad]) -> str:
    """What other programs took of the CPUs while trials were timed, as a sentence after others; nothing if unknown."""
    shares = [load.others for load in loads if load.others is not None]
    return f" Other programs took {min(shares):.0%} to {max(shares):.0%} of the CPUs meanwhile." if shares else ""


def _layers(winner: Trial, record: SearchRecord) -> str:
    """The layers that stayed in 16 bits, most int8-sensitive first."""
    ordered = sorted(winner.half_layers, key=lambda name: -record.sensitivity.get(name, 0.0))
    named = [
        f"{name} ({record.sensitivity[name]:.0%} of int8's error)" if name in record.sensitivity else name
        for name in ordered[:_NAMED_LAYERS]
    ]
    rest = len(ordered) - len(named)
    more = f", and {rest} more" if rest else ""
    return f"In 16 bits, {len(ordered)} of {record.layers} layers: {', '.join(named)}{more}."


def _trial(trial: Trial, record: SearchRecord) -> tuple[str, ...]:
    marks = ["Pareto front"] if trial.name in record.pareto_front else []
    marks += ["taken"] if trial.name == record.winner else []
    half_layers = len(trial.half_layers) if trial.name != HALF_PRECISION else record.layers
    return (
        trial.name,
        f"{trial.drop.value:.3f}",
        f"{trial.drop.low:.3f} … {trial.drop.high:.3f}",
        str(trial.speed_range) if trial.speed_range else f"{trial.speed:.2f}",
        f"{trial.infer_ms:.2f}",
        f"{half_layers} of {record.layers}",
        "yes" if trial.is_within(record.options.points) else "no",
        ", ".join(marks),
    )
