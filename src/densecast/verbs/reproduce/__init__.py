"""Takes a zoo model through export, every precision and engine, accuracy and speed, to one report."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from densecast import artifact as artifact_files
from densecast import report as report_files
from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.datasets._base import DATASETS
from densecast.errors import BadConfigError, UsageError
from densecast.io import config
from densecast.measure.data_source import metric_of
from densecast.report.data import Reasons, Report, Row
from densecast.report.page import require_jinja
from densecast.runtime import machine
from densecast.scenes import SCENES
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.precision import PRECISIONS, Precision, short
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions, ExportOptions, MaxDrop, TuneOptions
from densecast.verbs.builder import build, default_name, require
from densecast.verbs.builder.compile_plan import INT8
from densecast.verbs.builder.tune import tune
from densecast.verbs.export import export_zoo
from densecast.verbs.mixed_precision import build_within
from densecast.verbs.reproduce import drawings, side_by_side
from densecast.verbs.reproduce.measure import Measured, Measurements
from densecast.zoo._base import ZOO, ZooEntry

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
    name: str,
    out: Path | str,
    options: RunOptions = RunOptions(),
    *,
    data: Path | str | None = None,
    checkpoint: Path | str | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Run all steps for one zoo model, into `out`; an interrupted run is resumed.

    Without `data`, a model with procedural data draws it into `out/data`; other models look in the environment
    variable of their data set. Each step is skipped whose result is there, whole, and made from the same things;
    `options.fresh` measures again all the same.

    Raises:
        UsageError: a `max_drop`, and no int8 model that could keep to it.
        DensecastError: whatever a step raises; what earlier steps made stays.
    """
    start, out = time.perf_counter(), Path(out)
    entry = ZOO.load(name)
    _check_first(entry, options)
    combinations = [(backend, precision) for backend in options.backends for precision in options.precisions]
    for backend, precision in combinations:
        require(replace(options.build, backend=backend, precision=precision))
    steps = itertools.count(1)

    def tell(what: str) -> None:
        progress(what, next(steps), 4 + 2 * len(combinations))

    tell("data set")
    root = Path(data) if data else data_root(entry, out)
    tell("export")
    float_artifact = export_zoo(name, out / f"{name}__float", options.export, given=checkpoint)
    images = _images(entry, root, options.evaluate)
    shape = options.build.shape if options.build.shape != InputShape() else _common_shape(float_artifact.spec, images)
    measurements = Measurements(
        root, images, options.evaluate, options.benchmark, out / "measured", fresh=options.fresh
    )
    built: list[tuple[Row, CompiledArtifact]] = []
    for backend, precision in combinations:
        build_options = replace(options.build, backend=backend, precision=precision, shape=shape)
        tell(f"build {backend} {short(precision)}")
        artifact = _build(float_artifact, build_options, options, root)
        tell(f"measure {backend} {short(precision)}")
        built.append((_row(artifact, measurements.of(artifact)), artifact))
    tell("speed side by side")
    built = side_by_side.with_pace(built, images, fresh=options.fresh)
    tell("report")
    report = _report(entry, float_artifact, built, root, options, out, time.perf_counter() - start)
    report_files.write(report, out)
    return report


def _check_first(entry: ZooEntry, options: RunOptions) -> None:
    """Check options and installation before anything is built.

    Raises:
        UsageError, MissingExtraError: as `reproduce`.
    """
    require_jinja()
    if options.max_drop is not None and INT8 not in options.precisions:
        raise UsageError(
            "a largest drop limits what int8 models lose, and int8 is not among the precisions.", field="max_drop"
        )
    entry.spec_for(options.export.variant)
    if entry.spec.evaluation is not None:
        metric_of(entry.spec)


def _report(
    entry: ZooEntry,
    source: FloatArtifact,
    built: list[tuple[Row, CompiledArtifact]],
    root: Path,
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
        summary=entry.summary,
        created=artifact_files.now(),
        machine=machine.describe(),
        source=f"densecast run {entry.spec.name}",
        data=f"{record.dataset} {record.split}, {record.count} of {record.total} images, ids {record.ids_sha256[:12]}"
        if record
        else str(root),
        rows=tuple(rows),
        parity=source.manifest.parity,
        published=entry.published,
        images=drawings.draw_all(chosen, shown, root, options.evaluate, out / "images"),
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
    return config.data_root(dataset, DATASETS.load_trusted(dataset).root_variables)


def _images(entry: ZooEntry, root: Path, options: EvaluateOptions) -> tuple[Path, ...]:
    """The image files to evaluate."""
    assert entry.spec.evaluation is not None
    layout = DATASETS.load_trusted(entry.spec.evaluation.dataset)
    dataset = layout.open(root, options.split, options.seed)
    return tuple(sample.image for sample in dataset.samples[: options.limit])


def _common_shape(spec: ModelSpec, images: tuple[Path, ...]) -> InputShape:
    """A fixed input shape if all images lead to the same size, else dynamic sizes."""
    from densecast.imaging.read import size_hw

    sizes = {spec.preprocess.place(size_hw(path, use_exif=spec.preprocess.use_exif)).model_hw for path in images}
    if len(sizes) != 1:
        return InputShape()
    height, width = sizes.pop()
    return InputShape(height=height, width=width)


def _build(source: FloatArtifact, build_options: BuildOptions, options: RunOptions, root: Path) -> CompiledArtifact:
    """Build one model beside `source`: as `build_options` say, or the best variant measured."""
    if options.max_drop is not None and build_options.precision == INT8:
        return build_within(source, None, build_options, options.max_drop, data=root)
    if options.tune is not None and build_options.precision != "force_float32":
        return tune(source, None, build_options, options.tune, data=root)
    return build(source, source.folder.parent / default_name(source.spec, build_options), build_options, data=root)


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
