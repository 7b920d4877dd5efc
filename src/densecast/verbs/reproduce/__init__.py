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
from densecast.errors import MissingFileError
from densecast.io import config, files
from densecast.measure.data_source import DataSource, here
from densecast.report import own_pages, verdict
from densecast.report.data import Reasons, Report, Row
from densecast.runtime import machine
from densecast.scenes import SCENES
from densecast.spec.choices import checked, types_of
from densecast.spec.data_options import Data
from densecast.spec.options import BuildOptions
from densecast.spec.precision import Precision, parse, short
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions, ExportOptions, MaxDrop, TuneOptions
from densecast.verbs.builder import build, default_name
from densecast.verbs.builder.compile_plan import INT8
from densecast.verbs.builder.tune import tune
from densecast.verbs.export.described import Labels, Spec
from densecast.verbs.measuring import Measured
from densecast.verbs.mixed_precision import build_within
from densecast.verbs.reproduce import ahead, drawings, material, model, plan, shapes, side_by_side
from densecast.verbs.reproduce.material import Material
from densecast.verbs.reproduce.measure import Measurements
from densecast.zoo._base import PublishedScore, ZooEntry

if TYPE_CHECKING:
    from densecast.verbs.export.sources import Exportable

__all__ = ["RunOptions", "reproduce"]

_MEASURED = "measured"
# What is being done, how far it is, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The builds of a run, and how they are measured.

    `precisions` None are all; int8 only where there are images for its ranges. With `tune`, builds below float32 are
    the fastest of what is measured; with `max_drop`, int8 ones the fastest that lose no more. `skip_missing` leaves out
    builds that this installation lacks an extra for, and says so in the report. `device` is where models are measured,
    such as `cuda`; the backends' own by default.
    """

    backends: tuple[str, ...] = ("openvino", "onnxruntime")
    precisions: tuple[Precision, ...] | None = None
    export: ExportOptions = field(default_factory=ExportOptions)
    build: BuildOptions = field(default_factory=BuildOptions)
    evaluate: EvaluateOptions = field(default_factory=EvaluateOptions)
    benchmark: BenchmarkOptions = field(default_factory=BenchmarkOptions)
    tune: TuneOptions | None = None
    max_drop: MaxDrop | None = None
    fresh: bool = False
    skip_missing: bool = False
    device: str = ""

    def __post_init__(self) -> None:
        """Short names of precisions are put right.

        Raises:
            UnknownNameError: no such precision.
        """
        types_of(self)
        if self.precisions is not None:
            object.__setattr__(self, "precisions", tuple(map(parse, self.precisions)))


@checked
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
    procedural data draws it into `out/data`; models of a published data set look in its environment variable. A network
    of one's own without `data`, and `data` of pictures alone, have no ground truth: then the score is the agreement of
    predictions with those of the first build, and the report says that accuracy was not measured. Each step is skipped
    whose result is there, whole, and made from the same things; `options.fresh` measures again all the same.
    From a script, call it below `if __name__ == "__main__":`, as models are measured in processes of their own.

    Raises:
        UsageError: a `max_drop`, and no int8 model that could keep to it; or int8 without images for its ranges.
        MissingExtraError: names every extra that the run needs and that is not installed.
        DensecastError: whatever a step raises; what earlier steps made stays.
    """
    start, out = time.perf_counter(), files.given(out)
    said = model.Described(checkpoint, spec, labels, preprocess, example, given)
    entry = model.entry_of(source)
    builds, left_out = plan.combinations(source, said, entry, options)
    own_pages.refuse_other_reports(out)
    model.check(source, said, options.export)
    steps = itertools.count(1)

    def tell(what: str) -> None:
        progress(what, next(steps), 4 + 2 * len(builds))

    tell("data set")
    place = _place(entry, data, out)
    is_known = place.path is not None or place.options.dataset is not None
    without_images: list[str] = []
    if not is_known and spec is None and not model.is_exported(source):  # nothing else can name any images
        builds, without_images = plan.with_images(builds, options, has_images=False)
    drawn = entry.spec if entry is not None and entry.data is not None else None
    with ahead.compiling_kernels(drawn, place, options.evaluate.seed, out / _MEASURED, builds) as kernels:
        tell("export")
        float_artifact = model.into(out, source, said, options.export)
        measured_on = material.of(float_artifact.spec, place, out, options.evaluate)
        builds, more = plan.with_images(builds, options, has_images=not measured_on.is_drawn)
        built = _built(builds, float_artifact, measured_on, options, out, tell, kernels)
    tell("speed side by side")
    built = _paced(built, measured_on, options)
    tell("report")
    report = _report(entry, float_artifact, built, measured_on, options, out, time.perf_counter() - start)
    report = replace(report, remarks=(*measured_on.remarks, *without_images, *more, *left_out))
    report_files.write(report, out)
    return report


def _built(
    builds: Sequence[plan.Build],
    source: FloatArtifact,
    measured_on: Material,
    options: RunOptions,
    out: Path,
    tell: Callable[[str], None],
    kernels: ahead.Kernels,
) -> list[tuple[Row, CompiledArtifact]]:
    """Every build with its measurements, in order."""
    has_int8 = any(precision == INT8 for _, precision in builds)
    shape = shapes.shape_of(source.spec, measured_on.images, measured_on.found, options.build, has_int8=has_int8)
    built: list[tuple[Row, CompiledArtifact]] = []
    with Measurements(
        measured_on, options.evaluate, options.benchmark, out / _MEASURED, device=options.device, fresh=options.fresh
    ) as measurements:
        for backend, precision in builds:
            tell(f"build {backend} {short(precision)}")
            planned = replace(options.build, backend=backend, precision=precision, shape=shape)
            if options.tune is None and options.max_drop is None:  # they time what they choose by
                measurements.expect(default_name(source.spec, planned), backend, source.spec.task)
            artifact = _build(source, planned, options, measured_on.place)
            tell(f"measure {backend} {short(precision)}")
            kernels.wait()
            built.append((_row(artifact, measurements.of(artifact)), artifact))
    return built


def _paced(
    built: list[tuple[Row, CompiledArtifact]], measured_on: Material, options: RunOptions
) -> list[tuple[Row, CompiledArtifact]]:
    seconds = options.benchmark.seconds
    return side_by_side.with_pace(built, measured_on.images, seconds, device=options.device, fresh=options.fresh)


def _place(entry: ZooEntry | None, data: Path | str | Data | None, out: Path) -> Data:
    """Where the data is, as far as it can be known before the export; the path is None where the model will tell.

    Raises:
        MissingFileError: it is not there.
    """
    given = here(data)
    if given.path is not None:
        if not given.path.exists():
            raise MissingFileError(f"{given.path} does not exist.", field="data")
        return given
    has_own = entry is not None and (entry.data is not None or entry.spec.evaluation is not None)
    if entry is not None and has_own and given.options.dataset is None:
        return replace(given, path=data_root(entry, out))
    return given


def _report(
    entry: ZooEntry | None,
    source: FloatArtifact,
    built: list[tuple[Row, CompiledArtifact]],
    measured_on: Material,
    options: RunOptions,
    out: Path,
    seconds: float,
) -> Report:
    """The report: all rows, and drawings of the first model and the one to take, or else the first int8 one."""
    found = measured_on.found
    rows = [row for row, _ in built]
    record = rows[0].score.data
    report = Report(
        spec=source.spec,
        summary=entry.summary if entry is not None else f"From {source.manifest.source}.",
        created=artifact_files.now(),
        machine=machine.describe(),
        source=f"densecast run {source.spec.name}",
        data=f"{record.dataset} {record.split}, {record.count} of {record.total} images, ids {record.ids_sha256[:12]}"
        if record
        else f"{len(measured_on.samples)} pictures without ground truth",
        rows=tuple(rows),
        parity=source.manifest.parity,
        published=_published(entry, found, options.export.variant) if entry is not None and found is not None else (),
        seconds=seconds,
    )
    taken = verdict.of(report).row
    other = next((pair for pair in built if pair[0] is taken and taken is not rows[0]), None)
    other = other or next((pair for pair in built if pair[0].asked == INT8), built[-1])
    shown = [built[0]] if other is built[0] else [built[0], other]
    chosen = drawings.choose([pair[0] for pair in shown])
    return replace(report, images=drawings.draw_all(chosen, shown, measured_on, options.evaluate, out / "images"))


def data_root(entry: ZooEntry, out: Path) -> Path:
    """The root of the model's data: generated in `out/data`, or from the configuration file or environment.

    Raises:
        MissingFileError: none of these; says how to name the folder.
    """
    if entry.data is not None:
        root = out / "data"
        SCENES.load(entry.data.writer)(root, entry.data.count, seed=entry.data.seed)
        return root
    assert entry.spec.evaluation is not None, "it names a data set"
    dataset = entry.spec.evaluation.dataset
    return config.data_root(dataset, _layouts.layout(dataset).root_variables)


def _published(entry: ZooEntry, found: DataSource, variant: str) -> tuple[PublishedScore, ...]:
    """The published scores of the classes, the data set and the variant that are measured here."""
    own = entry.spec.evaluation
    if own is None or own.dataset != found.evaluation.dataset or entry.spec.labels != found.spec.labels:
        return ()
    return tuple(score for score in entry.published if variant in score.variants)


def _build(source: FloatArtifact, build_options: BuildOptions, options: RunOptions, data: Data) -> CompiledArtifact:
    """Build one model beside `source`: as `build_options` say, or the best variant measured."""
    place = data if data.path is not None else None
    if options.max_drop is not None and build_options.precision == INT8:
        return build_within(source, None, build_options, options.max_drop, data=data)
    if options.tune is not None and build_options.precision != "force_float32":
        return tune(source, None, build_options, options.tune, data=place)
    return build(source, source.folder.parent / default_name(source.spec, build_options), build_options, data=place)


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
        confusion=measured.confusion,
        reasons=Reasons.of(manifest),
    )
