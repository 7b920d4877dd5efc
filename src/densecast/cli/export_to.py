"""`densecast export-to`: hand a model over to other software: servers, libraries, other engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Json, Quiet, Verbose, bar, emit, set_up
from densecast.spec.handover_options import ExportToOptions
from densecast.spec.options import QuantizeOptions


@_options.takes(
    {"quantize": "calibration-"},
    {"quantize": ("split", "images", "seed", "excluded_types", "excluded_names")},
    options=ExportToOptions,
    quantize=QuantizeOptions,
)
def command(
    receiver: Annotated[str, typer.Argument(help="Receiver: ovms, triton, model-api, hf, onnx-full or tensorrt-onnx.")],
    artifact: Annotated[Path, typer.Argument(help="An exported or built artifact.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an earlier export of this model there is replaced.")],
    options: _options.Values,
    quantize: _options.Values,
    data: Annotated[
        Path | None, typer.Option(help="For tensorrt-onnx: calibration images (root of a data set, or a folder).")
    ] = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write a model for other software: pixels in, labels out, with names and licence inside the file."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.verbs.export_to import export_to, readme

    chosen = codec.from_plain({**options, "quantize": quantize}, ExportToOptions, "command line")
    with bar("calibration images", quiet) as progress:
        result = export_to(receiver, artifact, out, chosen, data=data, progress=progress)
    agreed = result.agreement
    lines = [
        f"{result.model} ({result.precision}) for {result.receiver}: {out / result.model_file}",
        f"in: {readme.out_of(result.inputs)}, colours {result.input_colour}; before: {result.resize}",
        f"out: {readme.out_of(result.outputs)}",
        f"{agreed.difference:g} {agreed.measure} from the artifact on {agreed.images} test images ({agreed.engine}, "
        f"at most {agreed.allowed:g})",
        *(f"note: {remark}" for remark in result.remarks),
    ]
    emit(codec.to_plain(result), "\n".join(lines), json)
