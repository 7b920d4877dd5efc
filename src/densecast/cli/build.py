"""`densecast build`: a float artifact compiled for one engine, precision and shape."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli._common import Json, Quiet, Verbose, bar, emit, input_shape, set_up

_CALIBRATION = "Calibration (int8)"


def command(
    artifact: Annotated[Path, typer.Argument(help="An exported artifact.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new artifact; default: beside the exported one.")
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            "-p",
            help="force_float32 (fp32), force_float16 (fp16) or qint8_mixed_float16 (int8).",
        ),
    ] = "fp32",
    backend: Annotated[
        str, typer.Option("--backend", "-b", help="openvino, onnxruntime, torch or reference.")
    ] = "openvino",
    batch: Annotated[str, typer.Option(help="Sizes compiled one by one (1,4,16) or a range (1:16).")] = "1",
    height: Annotated[
        str | None, typer.Option(help="Fixed (640) or a range (32:2048); default: the model's own.")
    ] = None,
    width: Annotated[str | None, typer.Option(help="Fixed (959) or a range.")] = None,
    uint8_input: Annotated[
        bool, typer.Option("--uint8-input", help="Bytes in; mean and std inside the graph.")
    ] = False,
    sixteen_bit: Annotated[str, typer.Option(help="auto (the faster here), bf16 or f16.")] = "auto",
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
        str, typer.Option(help="asymmetric or symmetric.", rich_help_panel=_CALIBRATION)
    ] = "asymmetric",
    estimator: Annotated[
        str, typer.Option(help="minmax, mean_minmax, percentile or histogram.", rich_help_panel=_CALIBRATION)
    ] = "mean_minmax",
    percentile: Annotated[float, typer.Option(min=50, max=100, rich_help_panel=_CALIBRATION)] = 99.99,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(
            help="Regular expression of node names not to quantise; repeatable.", rich_help_panel=_CALIBRATION
        ),
    ] = None,
    keep_float_type: Annotated[
        list[str] | None,
        typer.Option(help="Operator type not to quantise, as MatMul; repeatable.", rich_help_panel=_CALIBRATION),
    ] = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Compile for an engine and read back what it really runs."""
    set_up(verbose, quiet)
    from densecast.build import build, default_name
    from densecast.core import codec
    from densecast.core import precision as precisions
    from densecast.core.artifact import Artifact
    from densecast.core.options import BuildOptions

    options = codec.from_plain(
        {
            "backend": backend,
            "precision": precisions.parse(precision),
            "shape": codec.to_plain(input_shape(batch, height, width)),
            "quantize": {
                "images": images,
                "seed": seed,
                "split": split,
                "weights": weights,
                "activations": activations,
                "estimator": estimator,
                "percentile": percentile,
                "ignored_types": keep_float_type or [],
                "ignored_names": keep_float or [],
            },
            "sixteen_bit": sixteen_bit,
            "uint8_input": uint8_input,
        },
        BuildOptions,
        "command line",
    )
    source = Artifact.open(artifact)
    target = out or artifact.parent / default_name(source.spec, options)
    with bar("calibration images read", quiet) as progress:
        built = build(source, target, options, data=data, progress=progress)
    ran = built.manifest.precision_ran
    text = (
        f"{built.folder}: {options.backend}, asked {options.precision}, runs {ran}\n"
        f"{built.spec.input.name} {built.spec.input}"
    )
    if built.manifest.evidence:
        text += "\nchosen by measurement: " + ", ".join(f"{k} {v:.2f}" for k, v in built.manifest.evidence.items())
    emit({"artifact": str(built.folder), **codec.to_plain(built.manifest)}, text, json)
