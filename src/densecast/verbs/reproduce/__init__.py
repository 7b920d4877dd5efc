"""One click: a model through export, every precision, every engine, accuracy and speed  ->  one report."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from densecast import artifact as artifact_files
from densecast import plugins
from densecast import report as report_verb
from densecast.artifact import Artifact
from densecast.artifact.search_record import MaxDrop
from densecast.artifact.tune_record import TuneOptions
from densecast.errors import BadConfigError, UsageError
from densecast.io import codec, config, files
from densecast.report.data import Reasons, Report, Row
from densecast.report.page import require_jinja
from densecast.runtime import machine
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.precision import PRECISIONS, Precision, short
from densecast.spec.sample import Dataset
from densecast.verbs.benchmark import BenchmarkOptions
from densecast.verbs.builder import build, default_name, require
from densecast.verbs.builder.compile_plan import INT8
from densecast.verbs.builder.tune import tune
from densecast.verbs.evaluate import EvaluateOptions
from densecast.verbs.export import ExportOptions, export_zoo
from densecast.verbs.mixed_precision import build_within
from densecast.verbs.reproduce import pictures
from densecast.verbs.reproduce.measure import Measured, measure
from densecast.zoo._base import ZooEntry

__all__ = ["RunOptions", "run"]

# What is being done, how far it is, and of how many.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Which builds, and how they are measured.

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


def run(
    name: str,
    out: Path,
    options: RunOptions = RunOptions(),
    *,
    data: Path | None = None,
    checkpoint: Path | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Everything for one zoo model, into `out`; an interrupted run goes on where it stopped.

    Without `data`, a model with procedural data draws it into `out/data`; other models look in the environment
    variable of their data set. Each step is skipped whose result is there, whole, and made from the same things;
    `options.fresh` measures again all the same.

    Raises:
        UsageError: a `max_drop`, and no int8 model that could keep to it.
        DensecastError: whatever a step raises; what earlier steps made stays.
    """
    start = time.perf_counter()
    require_jinja()
    if options.max_drop is not None and INT8 not in options.precisions:
        raise UsageError("--max-drop limits what int8 models lose: put int8 among --precisions.")
    entry: ZooEntry = plugins.load("zoo", name).ENTRY
    entry.spec_for(options.export.protocol)  # a name that does not exist is said now, too
    if entry.spec.evaluation is not None:
        # What the metric needs and is not installed is said now, not after the builds.
        plugins.load("metrics", entry.spec.evaluation.metric).accumulator(entry.spec)
    combinations = [(backend, precision) for backend in options.backends for precision in options.precisions]
    for backend, precision in combinations:
        require(replace(options.build, backend=backend, precision=precision))
    steps = 3 + 2 * len(combinations)
    step = 0

    def tell(what: str) -> None:
        nonlocal step
        step += 1
        progress(what, step, steps)

    tell("data set")
    root = data or data_root(entry, out)
    tell("export")
    float_artifact = export_zoo(name, out / f"{name}__float", options.export, given=checkpoint)
    dataset = _dataset(entry, root, options.evaluate)
    images = tuple(sample.image for sample in dataset.samples[: options.evaluate.limit])
    shape = options.build.shape if options.build.shape != InputShape() else _common_shape(float_artifact.spec, images)
    built: list[tuple[Row, Artifact]] = []
    for backend, precision in combinations:
        wanted = replace(options.build, backend=backend, precision=precision, shape=shape)
        tell(f"build {backend} {short(precision)}")
        artifact = _build(float_artifact, wanted, options, root)
        tell(f"measure {backend} {short(precision)}")
        built.append((_row(artifact, _measured(artifact, root, images, options, out)), artifact))
    tell("report")
    rows = [row for row, _ in built]
    first_int8 = next((pair for pair in built if pair[0].asked == "qint8_mixed_float16"), built[-1])
    shown = [built[0], first_int8] if first_int8 is not built[0] else [built[0]]
    chosen = pictures.choose([shown[0][0], shown[-1][0]])
    drawn = pictures.make(chosen, shown, root, options.evaluate, out / "pictures")
    record = rows[0].score.data
    report = Report(
        spec=float_artifact.spec,
        summary=entry.summary,
        created=artifact_files.now(),
        machine=machine.describe(),
        source=f"densecast run {name}",
        data=f"{record.dataset} {record.split}, {record.count} of {record.total} images, ids {record.ids_sha256[:12]}"
        if record
        else str(root),
        rows=tuple(rows),
        parity=float_artifact.manifest.parity,
        published=entry.published,
        pictures=drawn,
        seconds=time.perf_counter() - start,
    )
    report_verb.write(report, out)
    return report


def data_root(entry: ZooEntry, out: Path) -> Path:
    """Where the model's data is: drawn into `out/data`, or as the configuration file or the environment names it.

    Raises:
        MissingFileError: none of these; says how to name the folder.
    """
    if entry.data is not None:
        root = out / "data"
        plugins.load("scenes", entry.data.writer).write(root, entry.data.count, seed=entry.data.seed)
        return root
    if entry.spec.evaluation is None:
        raise BadConfigError(f"{entry.spec.name} names no data set; pass --data FOLDER.")
    dataset = entry.spec.evaluation.dataset
    return config.data_root(dataset, plugins.load("datasets", dataset).ROOT_VARIABLES)


def _dataset(entry: ZooEntry, root: Path, options: EvaluateOptions) -> Dataset:
    assert entry.spec.evaluation is not None
    dataset: Dataset = plugins.load("datasets", entry.spec.evaluation.dataset).open(root, options.split, options.seed)
    return dataset


def _common_shape(spec: ModelSpec, images: tuple[Path, ...]) -> InputShape:
    """The one network size that all images lead to, fixed; open sizes where they lead to several."""
    from densecast.imaging.read import size_hw

    sizes = {spec.preprocess.resize.place(size_hw(path)).model_hw for path in images}
    if len(sizes) != 1:
        return InputShape()
    height, width = sizes.pop()
    return InputShape(height=height, width=width)


def _build(source: Artifact, wanted: BuildOptions, options: RunOptions, root: Path) -> Artifact:
    """One model beside `source`: as it is asked for, or the best of what is measured."""
    if options.max_drop is not None and wanted.precision == INT8:
        return build_within(source, None, wanted, options.max_drop, data=root)
    if options.tune is not None and wanted.precision != "force_float32":
        return tune(source, None, wanted, options.tune, data=root)
    return build(source, source.folder.parent / default_name(source.spec, wanted), wanted, data=root)


def _measured(artifact: Artifact, root: Path, images: tuple[Path, ...], options: RunOptions, out: Path) -> Measured:
    """A stored measurement of the same things, or a new one."""
    data_state = [(path.name, path.stat().st_size) for path in images]
    parts = (
        artifact.identity,
        data_state,
        codec.to_json(options.evaluate),
        codec.to_json(options.benchmark),
        machine.describe(),
    )
    key = files.sha256_text(repr(parts))
    stored = out / "measured" / f"{artifact.folder.name}.json"
    if stored.is_file() and not options.fresh:
        try:
            found = codec.read(stored, Measured)
        except BadConfigError:
            found = None
        if found is not None and found.key == key:
            return found
    result = measure(artifact, root, images, options.evaluate, options.benchmark, key)
    files.write_text(stored, codec.to_json(result))
    return result


def _row(artifact: Artifact, measured: Measured) -> Row:
    manifest = artifact.manifest
    assert manifest.build is not None and manifest.precision_asked is not None
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
        reasons=Reasons.of(manifest),
    )
