"""`densecast build`: a float artifact compiled for one engine, precision and shape."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli import _max_drop, _tune
from densecast.cli._common import Json, Quiet, Verbose, bar, emit, input_shape, set_up
from densecast.errors import UsageError

if TYPE_CHECKING:
    from densecast.artifact import Artifact

_CALIBRATION = "Calibration (int8)"
_TUNE = "Measured choices"
_DROP = "Accuracy that may be lost (int8)"


def command(
    artifact: Annotated[Path, typer.Argument(help="An exported artifact.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the new artifact; default: beside the exported one, named by what is in it."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            "-p",
            help="force_float32 (fp32), force_float16 (fp16) or qint8_mixed_float16 (int8). "
            "Default: fp32; with --max-drop int8; with --tune int8 if there is --data, else fp16.",
        ),
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", "-b", help="openvino, onnxruntime, torch or reference.")
    ] = "openvino",
    batch: Annotated[str, typer.Option(help="Sizes compiled one by one (1,4,16) or a range (1:16).")] = "1",
    height: Annotated[
        str | None, typer.Option(help="Fixed (640) or a range (32:2048); default: the model's own.")
    ] = None,
    width: Annotated[str | None, typer.Option(help="Fixed (959) or a range.")] = None,
    graph_pass: Annotated[
        list[str] | None,
        typer.Option(
            "--graph-pass",
            "--rewrite",
            help="Exact optimisation pass over the graph, or none; repeatable. Default: those known to be faster.",
        ),
    ] = None,
    tuned: Annotated[
        bool, typer.Option("--tune", help="Measure what is fastest here, and build that.", rich_help_panel=_TUNE)
    ] = False,
    goal: Annotated[str, typer.Option(help="Tune for throughput or latency.", rich_help_panel=_TUNE)] = "throughput",
    keep_int8: Annotated[
        bool,
        typer.Option("--keep-int8", help="Keep int8 even where 16 bits are as fast.", rich_help_panel=_TUNE),
    ] = False,
    uint8_input: Annotated[
        bool, typer.Option("--uint8-input", help="Bytes in; mean and std inside the graph.")
    ] = False,
    half_type: Annotated[
        str, typer.Option("--half-type", "--sixteen-bit", help="The 16-bit type: auto (the faster here), bf16 or f16.")
    ] = "auto",
    data: Annotated[
        Path | None,
        typer.Option(help="Calibration images: a data set's root or a folder.", rich_help_panel=_CALIBRATION),
    ] = None,
    images: Annotated[int, typer.Option(min=0, help="How many; 0 for all.", rich_help_panel=_CALIBRATION)] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Which ones.", rich_help_panel=_CALIBRATION)] = 0,
    split: Annotated[str, typer.Option(help="train, val or all.", rich_help_panel=_CALIBRATION)] = "train",
    weights: Annotated[
        str, typer.Option(help="per_channel or per_tensor.", rich_help_panel=_CALIBRATION)
    ] = "per_channel",
    activations: Annotated[
        str,
        typer.Option(
            help="asymmetric, symmetric, or auto: symmetric where the graph pads between its layers.",
            rich_help_panel=_CALIBRATION,
        ),
    ] = "auto",
    bias_correction: Annotated[
        str,
        typer.Option(
            help="auto (fast where it is measured to help), fast, full (slow) or none.",
            rich_help_panel=_CALIBRATION,
        ),
    ] = "auto",
    calibration_method: Annotated[
        str,
        typer.Option(
            "--calibration-method",
            "--estimator",
            help="auto (the best of those tried here), minmax, mean_minmax, percentile or histogram.",
            rich_help_panel=_CALIBRATION,
        ),
    ] = "auto",
    percentile: Annotated[float, typer.Option(min=50, max=100, rich_help_panel=_CALIBRATION)] = 99.99,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            "--keep-float",
            help="Regular expression of node names not to quantise; repeatable.",
            rich_help_panel=_CALIBRATION,
        ),
    ] = None,
    exclude_type: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude-type",
            "--keep-float-type",
            help="Operator type not to quantise, as MatMul; repeatable.",
            rich_help_panel=_CALIBRATION,
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Search the fastest int8 model that loses at most so many points (hundredths) of the metric.",
            rich_help_panel=_DROP,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="The model's own (mIoU, dice, AP), or against float32 without ground truth: disagreement, oks. "
            "Default: the first of these that --data allows.",
            rich_help_panel=_DROP,
        ),
    ] = None,
    time_budget: Annotated[
        str, typer.Option(help="When to stop searching, also for --tune: 90s, 10m, 2h.", rich_help_panel=_DROP)
    ] = "10m",
    drop_images: Annotated[
        int,
        typer.Option(min=0, help="Images to measure on; 0: as many as the time allows.", rich_help_panel=_DROP),
    ] = 0,
    drop_split: Annotated[
        str, typer.Option(help="Split to measure on: val, train or all.", rich_help_panel=_DROP)
    ] = "val",
    drop_data: Annotated[
        Path | None, typer.Option(help="Another place for these images than --data.", rich_help_panel=_DROP)
    ] = None,
    otherwise: Annotated[
        str,
        typer.Option(help="If none loses so little: 16-bit, best (loses least) or fail.", rich_help_panel=_DROP),
    ] = "16-bit",
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Compile for an engine and read back what it really runs."""
    set_up(verbose, quiet)
    from densecast.artifact import Artifact
    from densecast.io import codec
    from densecast.spec import precision as precisions
    from densecast.spec.options import BuildOptions
    from densecast.verbs.builder import build, default_name
    from densecast.verbs.warm_up import warm_up

    options = codec.from_plain(
        {
            "backend": backend,
            "precision": precisions.parse(precision or _precision(tuned, max_drop, data)),
            "shape": codec.to_plain(input_shape(batch, height, width)),
            "quantize": {
                "images": images,
                "seed": seed,
                "split": split,
                "weights": weights,
                "activations": activations,
                "calibration_method": calibration_method,
                "percentile": percentile,
                "bias_correction": bias_correction,
                "excluded_types": exclude_type or [],
                "excluded_names": exclude or [],
            },
            "half_type": half_type,
            "uint8_input": uint8_input,
            "graph_passes": None if not graph_pass else [name for name in graph_pass if name != "none"],
        },
        BuildOptions,
        "command line",
    )
    if tuned and max_drop is not None:
        raise UsageError("--tune and --max-drop are two searches: pass one of them.")
    if keep_int8 and not tuned:
        raise UsageError("--keep-int8 is for --tune, which otherwise leaves int8 where it is no faster.")
    source = Artifact.open(artifact)
    if tuned:
        built = _tune.run(source, out, options, _tune.asked(goal, time_budget, keep_int8), data, quiet)
    elif max_drop is not None:
        asked = _max_drop.asked(max_drop, metric, time_budget, drop_images, drop_split, otherwise)
        built = _max_drop.run(source, out, options, asked, data, drop_data, quiet)
    else:
        target = out or artifact.parent / default_name(source.spec, options)
        with bar("calibration images read", quiet) as progress:
            built = build(source, target, options, data=data, progress=progress)
    warm_up(built)
    emit({"artifact": str(built.folder), **codec.to_plain(built.manifest)}, _told(built), json)


def _precision(tuned: bool, max_drop: float | None, data: Path | None) -> str:
    """What is built when none is named."""
    if max_drop is not None:
        return "int8"
    if tuned:
        return "int8" if data else "fp16"
    return "fp32"


def _told(built: Artifact) -> str:
    """What was asked, what is in it and runs, and what was chosen by measurement."""
    from densecast.report import markdown, reasons
    from densecast.report.data import Reasons

    lines = [f"{built.folder}", *reasons.summary(built)]
    for section in reasons.sections(Reasons.of(built.manifest)):
        lines += [markdown.table(section.header, section.rows, section.align), *section.told]
    return "\n".join(lines)
