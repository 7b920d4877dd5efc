"""`densecast info`: tell what a model is."""

from __future__ import annotations

from typing import Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Json, Quiet, Verbose, emit, set_up
from densecast.errors import UsageError

_Source = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="An exported or built artifact, a model file (.onnx, TorchScript, .pt2, .pb), weights, a Hugging Face "
        "folder, or a zoo model's name.",
    ),
]
_Size = Annotated[
    str | None, typer.Option("--size", metavar="[HxW]", help="Count for an image of this size; default: about 512x512.")
]


def command(
    model: _Source,
    size: _Size = None,
    every_layer: Annotated[bool, typer.Option("--all", help="Show every layer, not only the largest.")] = False,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Show inputs, outputs, layers, parameters, MACs, precision and origin of a model."""
    set_up(verbose, quiet)
    from densecast.report.info import text_of
    from densecast.verbs.info import info

    size_hw: tuple[int, int] | None = None
    if size is not None:
        try:
            height, width = _options.pair(size)
        except UsageError as error:
            raise UsageError(f"--size: {error}") from None
        size_hw = (height, width)
    found = info(model, size_hw=size_hw)
    emit(found.plain(), text_of(found, every_layer=every_layer), json)
