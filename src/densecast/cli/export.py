"""`densecast export`: export a trained network to one verified ONNX graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Json, Quiet, Verbose, bar, emit, set_up
from densecast.spec.verb_options import ExportOptions

if TYPE_CHECKING:
    from densecast.artifact import ParityRecord
    from densecast.verbs.export.spec_file import SpecFile


@_options.takes(options=ExportOptions)
def command(
    model: Annotated[
        str, typer.Argument(help="Name of a zoo model, or an .onnx, TorchScript or TensorFlow (.pb) file.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new artifact.")],
    options: _options.Values,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File of trained weights; default: shipped, cached or downloaded.")
    ] = None,
    spec: Annotated[
        Path | None, typer.Option(help="For a model file: TOML or JSON file with its task, labels and preprocessing.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="For a model file, instead of --spec: class names, comma-separated.")
    ] = None,
    resize: Annotated[
        str, typer.Option(help="Resizing: native, scale:0.5, stretch:512x1024, keep:2048x1024 or fit:513x513.")
    ] = "native",
    interpolation: Annotated[
        str, typer.Option(help="Interpolation: bilinear_opencv or bicubic_pillow.")
    ] = "bilinear_opencv",
    colour: Annotated[str, typer.Option(help="Colour order: RGB or BGR.")] = "RGB",
    mean: Annotated[str, typer.Option(help="Mean of each channel, in 0..255.")] = "0,0,0",
    std: Annotated[str, typer.Option(help="Standard deviation of each channel, in 0..255.")] = "255,255,255",
    static: Annotated[
        str | None, typer.Option(metavar="[BxHxW]", help="Fixed batch, height and width, such as 1x640x959.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Largest allowed difference from the framework, relative to its largest output; default: 1e-4."
        ),
    ] = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Export to ONNX, check the graph, and compare it with the framework."""
    set_up(verbose, quiet)
    from densecast.errors import UsageError
    from densecast.io import codec
    from densecast.verbs.export import export_file, export_zoo, is_file_name, spec_file

    if tolerance is not None and Path(model).suffix == ".onnx":
        raise UsageError(
            "--tolerance limits the difference from the framework, which an .onnx file does not bring. Leave it out."
        )
    chosen = _export_options(static, options | ({} if tolerance is None else {"tolerance": tolerance}))
    if is_file_name(model):
        described = spec_file.read(spec) if spec else _described(labels, resize, interpolation, colour, mean, std)
        artifact = export_file(Path(model), described.model(Path(model).name.partition(".")[0]), out, chosen)
    else:
        with bar(f"fetching weights of {model}", quiet) as progress:
            artifact = export_zoo(model, out, chosen, given=checkpoint, progress=progress)
    tensor = artifact.spec.input
    text = f"{artifact.folder}: {artifact.spec.name}, {tensor.name} {tensor}\n{_agreement(artifact.manifest.parity)}"
    emit({"artifact": str(artifact.folder), **codec.to_plain(artifact.manifest)}, text, json)


def _agreement(parity: ParityRecord | None) -> str:
    """How near the graph is to its framework."""
    return (
        f"largest difference from the framework {parity.absolute_error:.3g}, {parity.relative_error:.1e} of "
        f"the largest output (tolerance {parity.tolerance:.0e}, {len(parity.shapes)} shapes)"
        + (f"; the framework's own rounding is {parity.framework_error:.1e}" if parity.framework_error else "")
        if parity
        else "checked by ONNX; there is no framework to compare with"
    )


def _export_options(static: str | None, plain: _options.Values) -> ExportOptions:
    from densecast.errors import UsageError
    from densecast.io import codec

    if static is not None:
        try:
            batch, height, width = (int(size) for size in static.split("x"))
        except ValueError:
            raise UsageError(f"--static {static!r} must be BATCHxHEIGHTxWIDTH, as 1x640x959.") from None
        plain |= {"size_hw": (height, width), "batch": batch}
    return codec.from_plain(plain, ExportOptions, "command line")


def _described(labels: str | None, resize: str, interpolation: str, colour: str, mean: str, std: str) -> SpecFile:
    from densecast.errors import UsageError
    from densecast.io import codec
    from densecast.verbs.export.spec_file import SpecFile, parse_resize

    if labels is None:
        raise UsageError("a file does not say what it is: pass --spec FILE, or --labels with --resize, --mean, --std.")
    try:
        numbers = {"mean": [float(x) for x in mean.split(",")], "std": [float(x) for x in std.split(",")]}
    except ValueError:
        raise UsageError(f"--mean {mean!r} and --std {std!r} must be three numbers each, by comma.") from None
    resized = codec.to_plain(parse_resize(resize))
    preprocess = {"resize": resized, "interpolation": interpolation, "colour": colour, **numbers}
    return codec.from_plain({"labels": labels.split(","), "preprocess": preprocess}, SpecFile, "command line")
