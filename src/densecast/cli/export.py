"""`densecast export`: export a trained network to one verified ONNX graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densecast.cli import _options
from densecast.cli._common import Json, Quiet, Verbose, bar, emit, set_up
from densecast.spec.verb_options import ExportOptions

if TYPE_CHECKING:
    from densecast.artifact import FloatArtifact, ParityRecord
    from densecast.spec.preprocess import Preprocess


_Model = Annotated[
    str | None,
    typer.Argument(
        help="Name of a zoo model, an .onnx, TorchScript, .pt2 or TensorFlow (.pb) file, or a Hugging Face folder."
    ),
]
_Module = Annotated[
    str | None,
    typer.Option(
        metavar="[PACKAGE.MODULE:FACTORY]",
        help="Instead of MODEL: a torch module, or what makes one. Your code is imported and run.",
    ),
]
_Checkpoint = Annotated[
    Path | None, typer.Option(help="File of trained weights; default: shipped, cached or downloaded.")
]
_Spec = Annotated[
    Path | None,
    typer.Option(help="TOML or JSON file with task, labels and preprocessing of your network or weights."),
]
_Labels = Annotated[
    str | None, typer.Option(help="Instead of --spec: class names, comma-separated, or a file with one a line.")
]
_Resize = Annotated[
    str | None,
    typer.Option(help="Resizing: native (default), scale:0.5, stretch:512x1024, keep:2048x1024 or fit:513x513."),
]
_Interpolation = Annotated[
    str | None,
    typer.Option(help="Interpolation: bilinear_opencv (default), bilinear_pillow, bicubic_pillow or nearest."),
]
_Colour = Annotated[str | None, typer.Option(help="Colour order: RGB (default) or BGR.")]
_Mean = Annotated[str | None, typer.Option(help="Mean of each channel, or one for all, in 0..255; default: 0.")]
_Std = Annotated[
    str | None, typer.Option(help="Standard deviation of each channel, or one for all, in 0..255; default: 255.")
]
_Normalise = Annotated[
    str | None,
    typer.Option("--normalise", help="Instead of --mean and --std: imagenet, 0..1, -1..1 or 0..255."),
]
_Static = Annotated[
    str | None, typer.Option(metavar="[BxHxW]", help="Fixed batch, height and width, such as 1x640x959.")
]
_Tolerance = Annotated[
    float | None,
    typer.Option(help="Largest allowed difference from the framework, relative to its largest output; default: 1e-4."),
]


@_options.takes(options=ExportOptions)
def command(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the new artifact.")],
    options: _options.Values,
    model: _Model = None,
    module: _Module = None,
    checkpoint: _Checkpoint = None,
    spec: _Spec = None,
    labels: _Labels = None,
    resize: _Resize = None,
    interpolation: _Interpolation = None,
    colour: _Colour = None,
    mean: _Mean = None,
    std: _Std = None,
    normalise: _Normalise = None,
    static: _Static = None,
    tolerance: _Tolerance = None,
    json: Json = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Export to ONNX, check the graph, and compare it with the framework."""
    set_up(verbose, quiet)
    from densecast.errors import UsageError
    from densecast.io import codec
    from densecast.verbs.export import export, sources

    if (model is None) == (module is None):
        raise UsageError("name either MODEL or --module, what is to be exported.")
    chosen = _export_options(static, options | ({} if tolerance is None else {"tolerance": tolerance}))
    stated = {"resize": resize, "interpolation": interpolation, "colour": colour, "mean": mean, "std": std}
    has_stated = normalise is not None or any(value is not None for value in stated.values())
    if spec is not None and (labels is not None or has_stated):
        raise UsageError(
            "--spec says labels and preprocessing: leave --labels, --mean, --std, --resize, … out beside it."
        )
    named = sources.named(module, is_module=True) if module is not None else sources.named(str(model))
    given = [*_given(context), *(["preprocess"] if has_stated else [])]
    sources.check(named, given)
    if named.needs_labels and labels is None and spec is None:
        raise UsageError("it does not say what it is: pass --spec FILE, or --labels with --resize, --mean, --std.")
    preprocess = _preprocess(stated, normalise, sources.preprocess_of(named, chosen.variant)) if has_stated else None
    with bar(f"fetching weights of {model}", quiet) as progress:
        artifact = export(
            named.source,
            out,
            spec=spec,
            labels=_labels(labels) if labels is not None else None,
            preprocess=preprocess,
            checkpoint=checkpoint,
            options=chosen,
            progress=progress,
        )
    emit({"artifact": str(artifact.folder), **codec.to_plain(artifact.manifest)}, _text(artifact), json)


_OWN_NAMES = {"static": "size_hw"}
_NO_OPTIONS = {"model", "module", "out", "json", "verbose", "quiet", "help"}
_PREPROCESS = {"resize", "interpolation", "colour", "mean", "std", "normalise"}


def _given(context: typer.Context) -> list[str]:
    """The options that were typed, by the names of `ExportOptions`, although some may say what is default anyway."""
    typed = [
        name
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
        and name not in _NO_OPTIONS | _PREPROCESS
    ]
    return [_OWN_NAMES.get(name, name.removeprefix("options_")) for name in typed]


def _labels(text: str) -> list[str]:
    """Names from a comma-separated text, or from a file of one name a line."""
    path = Path(text)
    if "," not in text and path.is_file():
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return [line.strip() for line in lines if line.strip()]
    return [name.strip() for name in text.split(",")]


def _preprocess(stated: dict[str, str | None], normalise: str | None, base: Preprocess) -> Preprocess:
    """The preprocessing with what was typed in place of what it says."""
    from densecast.errors import UsageError
    from densecast.io import codec
    from densecast.spec.preprocess import Preprocess
    from densecast.verbs.export import library_preprocess
    from densecast.verbs.export.spec_file import parse_resize

    plain = codec.to_plain(base)
    if normalise is not None:
        if stated["mean"] is not None or stated["std"] is not None:
            raise UsageError("--normalise says mean and deviation: leave --mean and --std out.")
        named = codec.to_plain(library_preprocess.translate(normalise))
        plain |= {name: named[name] for name in ("mean", "std", "divisor")}
    for name, text in stated.items():
        if text is None:
            continue
        if name == "resize":
            plain[name] = codec.to_plain(parse_resize(text))
        elif name in ("mean", "std"):
            plain[name] = _numbers(name, text)
        else:
            plain[name] = text.upper() if name == "colour" else text
    if (stated["mean"] is not None or stated["std"] is not None) and base.divisor != 1:
        plain["divisor"] = 1.0
    return codec.from_plain(plain, Preprocess, "command line")


def _numbers(name: str, text: str) -> list[float]:
    from densecast.errors import UsageError

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--{name} {text!r} must be numbers, by comma.") from None
    return numbers


def _text(artifact: FloatArtifact) -> str:
    """What was exported, how near it is to its framework, and the notes on choices that were made."""
    tensor = artifact.spec.input
    head = f"{artifact.folder}: {artifact.spec.name}, {tensor.name} {tensor}"
    return "\n".join((head, _agreement(artifact.manifest.parity), *(f"- {note}" for note in artifact.manifest.passes)))


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
