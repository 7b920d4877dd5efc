"""`densecast export`: export a trained network to one verified ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli import _options, _source, _source_options
from densecast.cli._common import Json, Quiet, Verbose, bar, emit, set_up
from densecast.spec.verb_options import ExportOptions

if TYPE_CHECKING:
    from densecast.artifact import FloatArtifact, ParityRecord


_Model = Annotated[
    str | None,
    typer.Argument(
        help="Name of a zoo model, an .onnx, TorchScript, .pt2 or TensorFlow (.pb) file, an OpenMMLab checkpoint "
        "(.pth), or a Hugging Face folder."
    ),
]


@_options.takes(options=ExportOptions)
@_source_options.takes
def command(
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the new artifact.")],
    options: _options.Values,
    model: _Model = None,
    typed: _source_options.Typed,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Export to ONNX, check the graph, and compare it with the framework."""
    set_up(verbose, quiet)
    from densecast.io import codec
    from densecast.verbs.export import export

    source = _source.read(context, model, typed, options, "options")
    with bar(f"fetching weights of {model}", quiet) as progress:
        artifact = export(
            source.named.source,
            out,
            spec=typed.spec,
            labels=source.labels,
            preprocess=source.preprocess,
            checkpoint=typed.checkpoint,
            options=source.options,
            progress=progress,
        )
    emit({"artifact": str(artifact.folder), **codec.to_plain(artifact.manifest)}, _text(artifact), json)


def _text(artifact: FloatArtifact) -> str:
    """What was exported, how near it is to its framework, and the notes on choices that were made."""
    tensor = artifact.spec.input
    head = f"{artifact.folder}: {artifact.spec.name}, {tensor.name} {tensor}"
    agreement = _agreement(artifact.manifest.parity, artifact.manifest.measurements)
    return "\n".join((head, agreement, *(f"- {note}" for note in artifact.manifest.passes)))


def _agreement(parity: ParityRecord | None, measurements: Mapping[str, float]) -> str:
    """How near the graph is to its framework."""
    equal = measurements.get("labels_equal_to_tensorflow")
    if parity is None and equal is not None:
        return f"labels equal TensorFlow's at {equal:.2%} of the pixels of two images; its logits could not be compared"
    return (
        f"largest difference from the framework {parity.absolute_error:.3g}, {parity.relative_error:.1e} of "
        f"the largest output (tolerance {parity.tolerance:.0e}, {len(parity.shapes)} shapes)"
        + (f"; the framework's own rounding is {parity.framework_error:.1e}" if parity.framework_error else "")
        if parity
        else "checked by ONNX; there is no framework to compare with"
    )
