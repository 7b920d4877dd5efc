"""The options that say which network to start from, and how images are prepared for it: those of `export` and `run`."""

from __future__ import annotations

import functools
import inspect
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from densecast.cli import _options

Module = Annotated[
    str | None,
    typer.Option(
        metavar="[PACKAGE.MODULE:FACTORY]",
        help="Instead of MODEL: a torch module, or a function that creates one. Your code is imported and run.",
    ),
]
Checkpoint = Annotated[
    Path | None, typer.Option(help="File of trained weights; default: shipped, cached or downloaded.")
]
Spec = Annotated[
    Path | None,
    typer.Option(help="TOML or JSON file with task, labels and preprocessing of your network or weights."),
]
Labels = Annotated[
    str | None, typer.Option(help="Instead of --spec: class names, comma-separated, or a file: lines, data.yaml, …")
]
Resize = Annotated[
    str | None,
    typer.Option(
        help="Resizing: native (default), scale:0.5, stretch:512x1024, keep:2048x1024, short:520, fit:513x513 or "
        "letterbox:640x640."
    ),
]
Interpolation = Annotated[
    str | None,
    typer.Option(help="Interpolation: bilinear_opencv (default), bilinear_pillow, bicubic_pillow or nearest."),
]
Colour = Annotated[str | None, typer.Option(help="Colour order: RGB (default) or BGR.")]
Mean = Annotated[str | None, typer.Option(help="Mean of each channel, or one for all, in 0..255; default: 0.")]
Std = Annotated[
    str | None, typer.Option(help="Standard deviation of each channel, or one for all, in 0..255; default: 255.")
]
Normalise = Annotated[
    str | None,
    typer.Option("--normalise", help="Instead of --mean and --std: imagenet, 0..1, -1..1 or 0..255."),
]
Divisor = Annotated[
    float | None,
    typer.Option("--divisor", help="Divide pixels by this before --mean and --std: 255 if those are for values 0..1."),
]
ValueRange = Annotated[
    str | None,
    typer.Option(
        "--value-range",
        metavar="[LOW:HIGH]",
        help="Values in the image files that mean black and white, such as 0:4095 for 12 bits; default: 8 bits.",
    ),
]
Static = Annotated[
    str | None, typer.Option(metavar="[BxHxW]", help="Fixed batch, height and width, such as 1x640x959.")
]
Tolerance = Annotated[
    float | None,
    typer.Option(help="Largest allowed difference from the framework, relative to its largest output; default: 1e-4."),
]


@dataclass(frozen=True, slots=True)
class Typed:
    """The texts of the options, as typed; None where nothing was."""

    module: Module = None
    checkpoint: Checkpoint = None
    spec: Spec = None
    labels: Labels = None
    resize: Resize = None
    interpolation: Interpolation = None
    colour: Colour = None
    mean: Mean = None
    std: Std = None
    normalise: Normalise = None
    divisor: Divisor = None
    value_range: ValueRange = None
    static: Static = None
    tolerance: Tolerance = None

    @property
    def stated(self) -> dict[str, Any]:
        """Parts of the preprocessing, by their names in `Preprocess`."""
        names = ("resize", "interpolation", "colour", "mean", "std", "divisor", "value_range")
        return {name: getattr(self, name) for name in names}

    @property
    def has_preprocess(self) -> bool:
        """Whether anything was said of the preprocessing."""
        return self.normalise is not None or any(value is not None for value in self.stated.values())


def takes(command: _options.Command) -> _options.Command:
    """Decorator that puts the options of `Typed` in the place of the parameter `typed`, which the command receives."""
    kinds = typing.get_type_hints(Typed, include_extras=True)

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        command(typed=Typed(**{name: given.pop(name) for name in kinds}), **given)

    parameters: list[inspect.Parameter] = []
    for each in inspect.signature(command, eval_str=True).parameters.values():
        if each.name == "typed":
            parameters += [each.replace(name=name, default=None, annotation=kind) for name, kind in kinds.items()]
        else:
            parameters.append(each)
    return _options.shown_with(wrapper, parameters)
