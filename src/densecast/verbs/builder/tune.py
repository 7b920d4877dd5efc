"""Finds the fastest build of a float artifact on this machine, one measured choice at a time.

One thing is varied at a time: the 16-bit type, float32, each graph pass that changes the graph, inferences at a time,
batch; then, if int8 was requested, its scheme and graph passes, and int8 against 16 bits. Speed depends neither on
weights nor on ranges, so trial builds are calibrated on a few images; the winner is then built as any other.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import onnx

from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.artifact.tune_record import Setting, Trial, TuneRecord
from densecast.backends._base import BACKENDS
from densecast.errors import MissingError
from densecast.io import codec, files
from densecast.runtime import execution
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.choices import checked
from densecast.spec.data_options import Data
from densecast.spec.options import ActivationScheme, BuildOptions
from densecast.spec.precision import short
from densecast.spec.verb_options import TuneOptions
from densecast.verbs._keys import timing_key
from densecast.verbs.builder import (
    build,
    default_name,
    graph_passes,
    refuse_anothers,
    tune_benchmark,
    tune_settings,
)
from densecast.verbs.builder.calibration_methods import activation_scheme
from densecast.verbs.builder.compile_plan import INT8, prepare, require
from densecast.verbs.builder.tune_benchmark import LoadedSetting
from densecast.verbs.builder.tune_settings import Variation

# What is being measured, how many trials are done, and at most how many there are.
Progress = Callable[[str, int, int], None]


@checked
def tune(
    source: FloatArtifact,
    out: Path | None,
    options: BuildOptions = BuildOptions(),
    tune_options: TuneOptions = TuneOptions(),
    *,
    data: Path | Data | None = None,
    threads: int | None = None,
    progress: Progress = lambda what, done, total: None,
) -> CompiledArtifact:
    """Build the fastest variant of `options` at `out`; its manifest's `tuning` holds all measurements.

    Without `out` it is built beside `source`, under a name that says which precision it is.
    Where int8 was requested and is not clearly faster than the best build in 16 bits (or float32), that one is built
    instead, unless `tune_options.keep_int8`. Measurements are cached under the network's contents, the
    versions and the CPU: a search that ran out of time, or was interrupted, goes on where it stopped.

    Raises:
        BadArtifactError: `source` is no float artifact.
        BackendMissingError, MissingExtraError: the engine or the quantiser is not installed.
        UsageError: a precision this backend does not have, or int8 without `data`.
        BadShapeError: sizes that the float graph does not take.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepare(source, out or _beside(source, options, options), options, data=data)
        cpus = execution.configure("latency", threads).num_threads
        search = _Search(source, options, tune_options, data, cpus, Path(folder), progress)
        try:
            record = search.record()
        finally:
            search.close()
    chosen = _options(options, record.winner)
    return build(source, out or _beside(source, chosen, options), chosen, data=data, tuning=record)


def _beside(source: FloatArtifact, chosen: BuildOptions, requested: BuildOptions) -> Path:
    """The default folder, named after the build; a fallback precision does not collide with a direct build of it."""
    origin = "" if chosen.precision == requested.precision else f"_from_{short(requested.precision)}"
    return refuse_anothers(source.folder.parent / f"{default_name(source.spec, chosen)}__tuned{origin}", source)


class _Search:
    """A tuning run in progress: the best setting so far, the trials, and the two loaded builds."""

    def __init__(
        self,
        source: FloatArtifact,
        options: BuildOptions,
        tune_options: TuneOptions,
        data: Path | Data | None,
        threads: int,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._source, self._options, self._tune_options, self._data = source, options, tune_options, data
        self._threads, self._folder, self._progress = threads, folder, progress
        self._start = time.perf_counter()
        self._trials: list[Trial] = []
        self._finished = True
        self._loaded: dict[Setting, LoadedSetting] = {}
        self._built_artifacts: dict[str, CompiledArtifact] = {}
        self._total = 0

    def record(self) -> TuneRecord:
        """Try all variations, in the order in which later choices depend on earlier ones."""
        wants_int8 = self._options.precision == INT8
        choices = graph_passes.differ(onnx.load(self._graph()))
        sizes = tune_settings.batch_sizes(self._options)
        best = tune_settings.first(self._options, sizes[0])
        self._total = len(tune_settings.powers_of_two(1, self._threads)) + len(sizes) + len(choices)
        self._total += 2 + len(choices) if wants_int8 else 0
        best = self._best(best, tune_settings.streams(best, self._tune_options, self._threads))
        best = self._untuned_type(self._best(best, tune_settings.types(best, self._options)))
        for name in choices:
            best = self._best(best, iter([tune_settings.graph_pass(best, name)]))
        best = self._best(best, tune_settings.float32(best, self._options))
        best = self._best(best, tune_settings.batches(best, self._tune_options, self._options))
        why = "the fastest of what was measured"
        if wants_int8:
            best, why = self._int8(best, choices)
        return TuneRecord(
            self._tune_options,
            self._options.precision,
            best,
            self._threads,
            tuple(self._trials),
            "; ".join([why, *self._remarks(wants_int8)]),
            round(time.perf_counter() - self._start, 1),
            self._finished,
        )

    def _remarks(self, wants_int8: bool) -> list[str]:
        """What else has to be known about the choice: trials that noise left undecided, and whether it was finished."""
        open_trials = [trial for trial in self._trials[: -1 if wants_int8 else None] if not trial.decided]
        remarks = [f"{trial.what!r} {trial.why}" for trial in open_trials[:1]]
        remarks += [f"so {len(open_trials) - 1} more"] if len(open_trials) > 1 else []
        return remarks if self._finished else [*remarks, "the time was up before all was measured"]

    def close(self) -> None:
        """Release the engines."""
        for loaded in self._loaded.values():
            loaded.close()
        self._loaded.clear()

    def _untuned_type(self, best: Setting) -> Setting:
        """Where noise left the 16-bit type undecided, the one that a build takes that is not tuned: by CPU time."""
        trial = self._trials[-1] if self._trials else None
        if trial is None or trial.decided or trial.setting != replace(best, half_type=trial.setting.half_type):
            return best
        record = self._built(replace(best, half_type="auto")).manifest.half_type
        if record is None or record.chosen != trial.setting.half_type:
            return best
        self._trials[-1] = replace(trial, accepted=True, why=f"{trial.why}; taken as by a build that is not tuned")
        return trial.setting

    def _int8(self, best: Setting, choices: tuple[str, ...]) -> tuple[Setting, str]:
        """Choose between int8 and float; returns the setting and the reason."""
        quantised = tune_settings.int8(best, self._options)
        quantised = self._best(quantised, tune_settings.schemes(quantised, self._scheme()))
        for name in choices:
            quantised = self._best(quantised, iter([tune_settings.graph_pass(quantised, name)]))
        is_accepted = self._best(best, iter([tune_settings.against_float(quantised)])) == quantised
        last = self._trials[-1]
        if last.timing is None:
            if self._tune_options.keep_int8:
                return quantised, "int8 as requested: it was not measured against 16 bits"
            return best, "int8 was not measured, so it is not known to be faster"
        speed = f"int8 is {last.timing.ratio:.2f} times as fast as the best build without it"
        if is_accepted:
            return quantised, speed
        if not last.decided:
            speed = f"whether int8 is faster {last.why}"
        if self._tune_options.keep_int8:
            return quantised, f"{speed}; used all the same, as requested"
        if not last.decided:
            return best, speed
        return best, f"{speed}, and {last.required_ratio:g} times were needed to be worth its loss of accuracy"

    def _best(self, best: Setting, variations: Iterator[Variation]) -> Setting:
        """Try all variations, each against the best so far; returns the best setting."""
        for variation in variations:
            trial = self._try(best, variation)
            self._trials.append(trial)
            self._progress(variation.what, len(self._trials), max(self._total, len(self._trials)))
            if trial.accepted:
                best = variation.setting
        return best

    def _try(self, best: Setting, variation: Variation) -> Trial:
        def ended(why: str, accepted: bool = False) -> Trial:
            return Trial(variation.what, variation.setting, best, variation.required_ratio, None, accepted, why)

        key = self._key(best, variation.setting)
        timing = tune_benchmark.cached(key)
        is_cached = timing is not None
        if timing is None:
            if time.perf_counter() - self._start > self._tune_options.seconds:
                self._finished = False
                return ended("the time was up")
            try:
                candidate = self._load(variation.setting, beside=best)
                baseline = self._load(best, beside=variation.setting)
            except MissingError as error:
                return ended(str(error))
            if not candidate.is_concurrent_enough:
                return ended("this backend runs one inference at a time")
            if not candidate.is_finite():
                return ended("its outputs are no numbers")
            if not baseline.is_finite():
                return ended("the outputs of the best so far are no numbers", accepted=True)
            timing = tune_benchmark.benchmark(baseline, candidate)
            if not timing.load.is_too_high:
                tune_benchmark.store(key, timing)
        verdict = tune_benchmark.decided(timing, variation.required_ratio)
        return Trial(
            variation.what,
            variation.setting,
            best,
            variation.required_ratio,
            timing,
            verdict.answer == "yes",
            tune_benchmark.outcome(verdict, timing, variation.required_ratio),
            is_cached,
            verdict.answer != "undecided",
        )

    def _load(self, setting: Setting, beside: Setting) -> LoadedSetting:
        """Load a setting; all others are unloaded, except the one it is measured against."""
        for other in [each for each in self._loaded if each not in (setting, beside)]:
            self._loaded.pop(other).close()
        if setting not in self._loaded:
            streams = setting.streams
            config = ExecutionConfig(self._threads, streams, use_cache=False, num_workers=streams)
            runner = BACKENDS.load(self._options.backend).load(self._built(setting), config)
            self._loaded[setting] = LoadedSetting(runner, streams, setting.batch)
        return self._loaded[setting]

    def _built(self, setting: Setting) -> CompiledArtifact:
        options = self._trial_options(setting)
        name = files.sha256_text(codec.to_json(options))[:12]
        if name not in self._built_artifacts:
            self._built_artifacts[name] = build(self._source, self._folder / name, options, data=self._data)
        return self._built_artifacts[name]

    def _trial_options(self, setting: Setting) -> BuildOptions:
        options = _options(self._options, setting)
        return replace(options, quantize=tune_settings.quick(options.quantize))

    def _graph(self) -> Path:
        """The graph before the optional graph passes."""
        path = self._folder / "graph.onnx"
        if not path.exists():
            plain = replace(self._options, graph_passes=(), precision="force_float32")
            prepare(self._source, self._folder / "none", plain).write_graph(path)
        return path

    def _scheme(self) -> ActivationScheme:
        """The activation scheme that `auto` resolves to."""
        return activation_scheme(BACKENDS.load(self._options.backend), self._graph())

    def _key(self, baseline: Setting, candidate: Setting) -> str:
        """A hash of everything that a timing depends on."""
        settings = (baseline, candidate)
        return timing_key(
            self._source,
            [self._trial_options(setting) for setting in settings],
            [(setting.streams, setting.batch) for setting in settings],
            self._threads,
            require(self._options).version,
        )


def _options(options: BuildOptions, setting: Setting) -> BuildOptions:
    return replace(
        options,
        precision=setting.precision,
        half_type=setting.half_type,
        graph_passes=setting.graph_passes,
        quantize=replace(options.quantize, activations=setting.activations),
    )
