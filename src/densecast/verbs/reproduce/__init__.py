"""Takes a network through export, every precision and engine, accuracy and speed, to one report."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from densecast import artifact as artifact_files
from densecast import report as report_files
from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.datasets import _layouts
from densecast.errors import BadConfigError, MissingFileError, UsageError
from densecast.io import config
from densecast.measure.data_source import DataSource, find, here, metric_of
from densecast.report import own_pages
from densecast.report.data import Reasons, Report, Row
from densecast.report.page import require_jinja
from densecast.runtime import machine
from densecast.scenes import SCENES
from densecast.spec.data_options import Data
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions
from densecast.spec.precision import PRECISIONS, Precision, short
from densecast.spec.sample import Sample, Split
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions, ExportOptions, MaxDrop, TuneOptions
from densecast.verbs.builder import build, default_name, require
from densecast.verbs.builder.compile_plan import INT8
from densecast.verbs.builder.tune import tune
from densecast.verbs.export.described import Labels, Spec
from densecast.verbs.mixed_precision import build_within
from densecast.verbs.reproduce import drawings, model, shapes, side_by_side
from densecast.verbs.reproduce.measure import Measured, Measurements
from densecast.zoo._base import PublishedScore, ZooEntry

if TYPE_CHECKING:
    from densecast.verbs.export.sources import Exportable

__all__ = ["RunOptions", "reproduce"]

# What is being done, how far it is, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The builds of a run, and how they are measured.

    With `tune`, builds below float32 are the fastest of what is measured; with `max_drop`, int8 ones the fastest that
    lose no more.
    """

    backends: tuple[str, ...] = ("openvino", "onnxruntime")
    precisions: tuple[Precision, ...] = PRECISIONS
    export: ExportOptions = field(default_factory=ExportOptions)
    build: BuildOptions = field(default_factory=BuildOptions)
    evaluate: EvaluateOptions = field(default_factory=EvaluateOptions)
    benchmark: BenchmarkOptions = field(default_factory=BenchmarkOptions)
    tune: TuneOptions | None = None
    max_drop: MaxDrop | None = None
    fresh: bool = False


def reproduce(
    source: Exportable | FloatArtifact,
    out: Path | str,
    options: RunOptions = RunOptions(),
    *,
    data: Path | str | Data | None = None,
    checkpoint: Path | str | None = None,
    spec: Spec | None = None,
    labels: Labels | None = None,
    preprocess: object = None,
    example: tuple[int, int] | None = None,
    given: Collection[str] = (),
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Run all steps for one network, into `out`; an interrupted run is resumed.

    `source` is anything that `densecast.export` takes, with `checkpoint`, `spec`, `labels`, `preprocess`, `example` and
    `given` as there; or an exported artifact, of which a copy goes into `out`. Without `data`, a zoo model with
    procedural data draws it into `out/data`; models of a published data set look in its environment variable; a network
    of one's own needs `data`. Each step is skipped whose result is there, whole, and made from the same things;
    `options.fresh` measures again all the same. From a script, call it below `if __name__ == "__main__":`, as models
    are measured in processes of their own.

    Raises:
        UsageError: a `max_drop`, and no int8 model that could keep to it; or no data for a network of one's own.
        DensecastError: whatever a step raises; what earlier steps made stays.
    """
    start, out = time.perf_counter(), Path(out)
    said = model.Described(checkpoint, spec, labels, preprocess, example, given)
    entry = model.entry_of(source)
    _check_first(entry, options)
    own_pages.refuse_other_reports(out)
    model.check(source, said, options.export)
    combinations = [(backend, precision) for backend in options.backends for precision in options.precisions]
    steps = itertools.count(1)

    def tell(what: str) -> None:
        progress(what, next(steps), 4 + 2 * len(combinations))

    tell("data set")
    place = _place(entry, data, out, needs_data=spec is None and not model.is_artifact(source))
    tell("export")
    float_artifact = model.into(out, source, said, options.export)
    found = _found(float_artifact.spec, place)
    place = replace(place, path=found.root)
    images = tuple(sample.image for sample in _samples(found, options.evaluate.split, options))
    shape = shapes.shape_of(float_artifact.spec, images, found, options.build, has_int8=INT8 in options.precisions)
    measurements = Measurements(
        place, images, options.evaluate, options.benchmark, out / "measured", fresh=options.fresh
    )
    plans = [
        replace(options.build, backend=backend, precision=precision, shape=shape) for backend, precision in combinations
    ]
    built = _built(plans, float_artifact, options, place, measurements, tell)
    tell("speed side by side")
    built = side_by_side.with_pace(built, images, fresh=options.fresh)
    tell("report")
    report = _report(entry, float_artifact, built, found, options, out, time.perf_counter() - start)
    report_files.write(report, out)
    return report


def _found(spec: ModelSpec, place: Data) -> DataSource:
    """What the data are to the exported model, with a metric that fits it.

    Raises:
        UsageError: nobody says where they are.
    """
    if place.path is None and spec.evaluation is None:
        raise UsageError(f"{spec.name} names no data set: say where pictures and masks are (--data).", field="data")
    found = find(spec, place)
    metric_of(found.spec)
    return found


def _built(
    plans: Sequence[BuildOptions],
    source: FloatArtifact,
    options: RunOptions,
    place: Data,
    measurements: Measurements,
    tell: Callable[[str], None],
) -> list[tuple[Row, CompiledArtifact]]:
    """Every build with its measurements, in order."""
    built: list[tuple[Row, CompiledArtifact]] = []
    for plan in plans:
        tell(f"build {plan.backend} {short(plan.precision)}")
        artifact = _build(source, plan, options, place)
        tell(f"measure {plan.backend} {short(plan.precision)}")
        built.append((_row(artifact, measurements.of(artifact)), artifact))
    return built


def _check_first(entry: ZooEntry | None, options: RunOptions) -> None:
    """Check options and installation before anything is built.

    Raises:
        UsageError, MissingExtraError: as `reproduce`.
    """
    require_jinja()
    for backend, precision in itertools.product(options.backends, options.precisions):
        require(replace(options.build, backend=backend, precision=precision))
    if options.max_drop is not None and INT8 not in options.precisions:
        raise UsageError(
            "a largest drop limits what int8 models lose, and int8 is not among the precisions.", field="max_drop"
        )
    if entry is None:
        return
    entry.spec_for(options.export.variant)
    if entry.spec.evaluation is not None:
        metric_of(entry.spec)


def _place(entry: ZooEntry | None, data: Path | str | Data | None, out: Path, *, needs_data: bool) -> Data:
    """Where the data is, as far as it can be known before the export; the path is None where the model will tell.

    Raises:
        UsageError: nobody will.
        MissingFileError: it is not there.
    """
    given = here(data)
    if given.path is not None:
        if not given.path.exists():
            raise MissingFileError(f"{given.path} does not exist.", field="data")
        return given
    if entry is not None and given.options.dataset is None:
        return replace(given, path=data_root(entry, out))
    if entry is None and needs_data and given.options.dataset is None:
        raise UsageError(
            "a network of one's own is measured on data of one's own: name the folder of pictures and masks (--data).",
            field="data",
        )
    return given


def _report(
    entry: ZooEntry | None,
    source: FloatArtifact,
    built: list[tuple[Row, CompiledArtifact]],
    found: DataSource,
    options: RunOptions,
    out: Path,
    seconds: float,
) -> Report:
    """The report: all rows, and drawings of the first model and the first int8 one."""
    rows = [row for row, _ in built]
    first_int8 = next((pair for pair in built if pair[0].asked == INT8), built[-1])
    shown = [built[0], first_int8] if first_int8 is not built[0] else [built[0]]
    chosen = drawings.choose([shown[0][0], shown[-1][0]])
    record = rows[0].score.data
    return Report(
        spec=source.spec,
        summary=entry.summary if entry is not None else f"From {source.manifest.source}.",
        created=artifact_files.now(),
        machine=machine.describe(),
        source=f"densecast run {source.spec.name}",
        data=f"{record.dataset} {record.split}, {record.count} of {record.total} images, ids {record.ids_sha256[:12]}"
        if record
        else str(found.root),
        rows=tuple(rows),
        parity=source.manifest.parity,
        published=_published(entry, found, options.export.variant) if entry is not None else (),
        images=drawings.draw_all(chosen, shown, found, options.evaluate, out / "images"),
        seconds=seconds,
    )


def data_root(entry: ZooEntry, out: Path) -> Path:
    """The root of the model's data: generated in `out/data`, or from the configuration file or environment.

    Raises:
        MissingFileError: none of these; says how to name the folder.
    """
    if entry.data is not None:
        root = out / "data"
        SCENES.load(entry.data.writer)(root, entry.data.count, seed=entry.data.seed)
        return root
    if entry.spec.evaluation is None:
        raise BadConfigError(f"{entry.spec.name} names no data set: say where the data is.", field="data")
    dataset = entry.spec.evaluation.dataset
    return config.data_root(dataset, _layouts.layout(dataset).root_variables)


def _published(entry: ZooEntry, found: DataSource, variant: str) -> tuple[PublishedScore, ...]:
    """The published scores of the classes, the data set and the variant that are measured here."""
    own = entry.spec.evaluation
    if own is None or own.dataset != found.evaluation.dataset or entry.spec.labels != found.spec.labels:
        return ()
    return tuple(score for score in entry.published if variant in score.variants)


def _samples(found: DataSource, split: Split, options: RunOptions) -> tuple[Sample, ...]:
    """The samples of a split that are evaluated."""
    return found.open(split, options.evaluate.seed).samples[: options.evaluate.limit]


def _build(source: FloatArtifact, build_options: BuildOptions, options: RunOptions, data: Data) -> CompiledArtifact:
    """Build one model beside `source`: as `build_options` say, or the best variant measured."""
    if options.max_drop is not None and build_options.precision == INT8:
        return build_within(source, None, build_options, options.max_drop, data=data)
    if options.tune is not None and build_options.precision != "force_float32":
        return tune(source, None, build_options, options.tune, data=data)
    return build(source, source.folder.parent / default_name(source.spec, build_options), build_options, data=data)


def _row(artifact: CompiledArtifact, measured: Measured) -> Row:
    manifest = artifact.manifest
    size = sum((artifact.folder / name).stat().st_size for name in manifest.files)
    return Row(
        artifact=artifact.folder.name,
        backend=manifest.build.backend,
        asked=manifest.precision_asked,
        ran=measured.ran,
        size_mb=size / 1e6,
        build_seconds=manifest.build_seconds,
        settings=manifest.settings,
        measurements=manifest.measurements,
        score=measured.score,
        timing=measured.timing,
        change=measured.change,
        reasons=Reasons.of(manifest),
    )
