"""`densecast build`: compile a float artifact for one engine, precision and input shape."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Json, Quiet, Verbose, bar, clock_bar, emit, placed, set_up, steps
from densecast.cli._effects import Typed
from densecast.errors import UsageError
from densecast.spec.data_options import FOLDERS, Data, DataOptions
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions
from densecast.spec.precision import Precision
from densecast.spec.verb_options import MaxDrop, TuneOptions

if TYPE_CHECKING:
    from densecast.artifact import CompiledArtifact, FloatArtifact

_SEARCHES = "Measured choices"
_DROP = "Accuracy limit (int8)"
Values = _options.Values
PrecisionName = Annotated[
    str | None,
    typer.Option(
        "--precision",
        "-p",
        help="force_float32 (fp32), force_float16 (fp16) or qint8_mixed_float16 (int8). "
        "Default: fp32; with --max-drop int8; with --tune int8 if --data is given, else fp16.",
    ),
]

CalibrationList = Annotated[
    Path | None,
    typer.Option(
        "--calibration-list",
        help="Text file with the names or stems of the calibration images to use, one per line.",
        rich_help_panel="Calibration (int8)",
    ),
]
Points = Annotated[
    float | None,
    typer.Option(
        "--max-drop",
        min=0.0,
        help="Search for the fastest int8 model that loses at most this many points (hundredths) of the metric.",
        rich_help_panel=_DROP,
    ),
]


DropData = Annotated[
    Path | None,
    typer.Option(help="Images to measure accuracy on; default: those of --data.", rich_help_panel=_DROP),
]
On = Annotated[
    str,
    typer.Option(
        help="Where int8 ranges are collected and accuracy is measured: local (this process), ray, or ray:ADDRESS.",
        rich_help_panel="Calibration (int8)",
    ),
]


@_options.takes(
    {"max_drop": "drop-"},
    {"own": FOLDERS},
    options=BuildOptions,
    shape=InputShape,
    quantize=QuantizeOptions,
    tune=TuneOptions,
    max_drop=MaxDrop,
    own=DataOptions,
)
def command(
    context: typer.Context,
    artifact: Annotated[Path, typer.Argument(help="An exported artifact.")],
    options: Values,
    shape: Values,
    quantize: Values,
    tune: Values,
    max_drop: Values,
    own: Values,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the new artifact; default: next to the exported one, named after the options."),
    ] = None,
    precision: PrecisionName = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Calibration images: root of a data set, a data.toml or data.yaml, or a folder of images.",
            rich_help_panel="Calibration (int8)",
        ),
    ] = None,
    calibration_list: CalibrationList = None,
    tuned: Annotated[
        bool,
        typer.Option(
            "--tune", help="Build the fastest variant, as measured on this machine.", rich_help_panel=_SEARCHES
        ),
    ] = False,
    points: Points = None,
    drop_data: DropData = None,
    on: On = "local",
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Compile a model for an engine, and read back the precision that it really runs."""
    set_up(verbose, quiet)
    from densecast.artifact import FloatArtifact
    from densecast.io import codec
    from densecast.spec import precision as precisions

    place = placed(data, own)
    requested = precisions.parse(precision or _default_precision(tuned, points, data))
    quantize["listed"] = _listed(calibration_list, requested, data)
    plain = {**options, "precision": requested, "shape": shape, "quantize": quantize}
    build_options = codec.from_plain(plain, BuildOptions, "command line")
    _check_searches(tuned, points, on)
    _refuse_idle(Typed(context), build_options, data, tuned=tuned, searched=points is not None)
    source = FloatArtifact.open(artifact)
    if tuned:
        goal = codec.from_plain({**tune, "seconds": max_drop["seconds"]}, TuneOptions, "command line")
        built = _tune(source, out, build_options, goal, place, quiet)
    elif points is not None:
        limit = codec.from_plain({**max_drop, "points": points}, MaxDrop, "command line")
        built = _search(
            source, out, build_options, limit, place, placed(drop_data, own) if drop_data else None, on, quiet
        )
    else:
        built = _build(source, out, build_options, place, on, quiet)
    _tell(built, json)


def _listed(path: Path | None, precision: Precision, data: Path | None) -> list[str]:
    """The names in the calibration list; none without one.

    Raises:
        UsageError: nothing is calibrated, or there is no folder to look in.
        MissingFileError, BadInputError: the list cannot be read, or is empty.
    """
    from densecast.imaging.name_list import read_names

    if path is None:
        return []
    if precision != "qint8_mixed_float16" or data is None:
        raise UsageError("--calibration-list chooses images of --data for int8: pass --data and --precision int8.")
    return read_names(path)


def _check_searches(tuned: bool, points: float | None, on: str) -> None:
    """That options go together.

    Raises:
        UsageError: two searches, or other machines for one of this machine.
    """
    if tuned and points is not None:
        raise UsageError("--tune and --max-drop are two searches: pass one of them.")
    if on != "local" and tuned:
        raise UsageError("tuning times this machine: leave --on out.", field="on")


def _refuse_idle(typed: Typed, options: BuildOptions, data: Path | None, *, tuned: bool, searched: bool) -> None:
    """Refuse options that have no effect on this build.

    Beside a precision that was typed images and the 16-bit type are none: one command in a loop over precisions.

    Raises:
        UsageError: names the first one.
    """
    if options.precision != "qint8_mixed_float16":
        added = "-p int8" if tuned else "-p int8, --tune or --max-drop"
        cure = f"is for int8: add {added}, or leave it out."
        typed.refuse(cure, "quantize_", *(() if "precision" in typed else ("data",)))
    if options.precision == "force_float32" and "precision" not in typed:
        typed.refuse("is for 16 bits and int8: leave it out, or build one of them (-p).", "options_half_type")
    if not searched:
        cure = "is for --max-drop, which measures accuracy: add it, or leave this out."
        measuring = ("max_drop_metric", "max_drop_images", "max_drop_split", "max_drop_otherwise")
        typed.refuse(cure, *measuring, "drop_data", "own_allow_ignored")
    if not tuned:
        typed.refuse("is for --tune, which otherwise leaves int8 where it is no faster.", "tune_keep_int8")
        typed.refuse("is for --tune: add it, or leave this out.", "tune_")
        if not searched:
            typed.refuse("is for --tune and --max-drop: add one, or leave this out.", "max_drop_seconds")
    if data is None:
        typed.refuse("says how data is read: pass --data, or leave it out.", "own_dataset")
    if options.quantize.calibration_method not in ("auto", "percentile"):
        cure = "is for --calibration-method percentile (and auto, which tries it): leave one of them out."
        typed.refuse(cure, "quantize_percentile")


def _default_precision(tuned: bool, points: float | None, data: Path | None) -> str:
    """The precision to build if none is given."""
    if points is not None:
        return "int8"
    if tuned:
        return "int8" if data else "fp16"
    return "fp32"


def _build(
    source: FloatArtifact, out: Path | None, options: BuildOptions, data: Data | None, on: str, quiet: bool
) -> CompiledArtifact:
    """Build once as specified, with a progress bar of calibration images."""
    from densecast.verbs.builder import build

    with bar("calibration images read", quiet) as progress:
        return build(source, out, options, data=data, progress=progress, on=on)


def _tune(
    source: FloatArtifact, out: Path | None, options: BuildOptions, goal: TuneOptions, data: Data | None, quiet: bool
) -> CompiledArtifact:
    """Tune, with a line for each trial, and build the fastest setting."""
    from densecast.verbs.builder.tune import tune

    with steps(quiet) as progress:
        return tune(source, out, options, goal, data=data, progress=progress)


def _search(
    source: FloatArtifact,
    out: Path | None,
    options: BuildOptions,
    limit: MaxDrop,
    data: Data | None,
    accuracy_data: Data | None,
    on: str,
    quiet: bool,
) -> CompiledArtifact:
    """Search within an accuracy limit, with a progress bar of elapsed time.

    Raises:
        UsageError: no `data`.
    """
    from densecast.verbs.mixed_precision import build_within

    if data is None:
        raise UsageError("--max-drop needs images: pass --data with a data set's root or a folder of images.")
    with clock_bar(quiet) as progress:
        return build_within(
            source, out, options, limit, data=data, accuracy_data=accuracy_data, progress=progress, on=on
        )


def _tell(built: CompiledArtifact, json: Path | None) -> None:
    """Print what was built, with everything on disk that its first image needs."""
    from densecast.io import codec
    from densecast.verbs.warm_up import warm_up

    warm_up(built)
    emit({"artifact": str(built.folder), **codec.to_plain(built.manifest)}, _summary(built), json)


def _summary(built: CompiledArtifact) -> str:
    """What was requested, what was built and runs, and the choices made by measurement."""
    from densecast.report import markdown, reasons
    from densecast.report.data import Reasons

    lines = [f"{built.folder}", *reasons.summary(built)]
    for section in reasons.sections(Reasons.of(built.manifest)):
        lines += [markdown.table(section.header, section.rows, section.align), *section.sentences]
    return "\n".join(lines)
