"""What a command line means that says which network to start from: checked together, and ready for `export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from densecast.cli import _options
from densecast.cli._source_options import Typed
from densecast.runtime import stages
from densecast.spec.verb_options import ExportOptions

if TYPE_CHECKING:
    from densecast.spec.preprocess import Preprocess
    from densecast.verbs.export.sources import Named


@dataclass(frozen=True, slots=True)
class Source:
    """What to export, and what is said of it."""

    named: Named
    labels: list[str] | None
    preprocess: Preprocess | None
    options: ExportOptions
    given: list[str]


def read(context: typer.Context, model: str | None, typed: Typed, options: _options.Values, group: str) -> Source:
    """What the options mean together, checked as far as it can be before anything is loaded.

    `group` is the keyword under which the command takes `ExportOptions`.

    Raises:
        UsageError: they do not go together, lack labels, or have no effect on this kind of source.
        MissingFileError, UnknownNameError: there is no such source.
    """
    from densecast.errors import UsageError
    from densecast.verbs.export import sources

    if (model is None) == (typed.module is None):
        raise UsageError("name what to export: either MODEL or --module.")
    tolerance = {} if typed.tolerance is None else {"tolerance": typed.tolerance}
    chosen = export_options(typed.static, options | tolerance)
    if typed.spec is not None and (typed.labels is not None or typed.has_preprocess):
        raise UsageError(
            "--spec says labels and preprocessing already: leave --labels, --mean, --std, --resize, … out."
        )
    stages.at(f"reading {typed.module or model}")
    is_described = typed.labels is not None or typed.spec is not None
    named = sources.named(
        str(typed.module or model),
        is_module=typed.module is not None,
        is_described=is_described,
        config=chosen.config,
    )
    given = [*_given(context, group), *(["preprocess"] if typed.has_preprocess else [])]
    sources.check(named, given)
    if named.needs_labels and not is_described:
        raise UsageError("pass --spec FILE, or --labels with --resize, --mean, --std: its classes are not known.")
    return Source(
        named,
        _labels(typed.labels) if typed.labels is not None else None,
        _preprocess(typed.stated, typed.normalise, _base(typed, named, chosen)) if typed.has_preprocess else None,
        chosen,
        given,
    )


def refuse_on_artifact(context: typer.Context, group: str) -> None:
    """Refuse what was typed of a source where an exported artifact is named instead.

    Raises:
        UsageError: names the first such option.
    """
    from densecast.errors import UsageError

    typed = _typed(context, group, _OWN | _OTHERS)
    if typed:
        name = typed[0].removeprefix(f"{group}_")
        raise UsageError(
            f"--{name.replace('_', '-')} has no effect on an artifact, which is exported already. Name the network or "
            "file instead."
        )


_OWN, _OWN_NAMES = frozenset({"checkpoint", "spec", "labels", "static", "tolerance"}), {"static": "size_hw"}
_OTHERS = frozenset({"resize", "interpolation", "colour", "mean", "std", "normalise", "divisor", "value_range"})


def _given(context: typer.Context, group: str) -> list[str]:
    """The options that were typed, by the names of `ExportOptions`, although some may say what is default anyway."""
    return [_OWN_NAMES.get(name, name.removeprefix(f"{group}_")) for name in _typed(context, group, _OWN)]


def _typed(context: typer.Context, group: str, own: frozenset[str]) -> list[str]:
    return [
        name
        for name in context.params
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
        and (name in own or name.startswith(f"{group}_"))
    ]


def _labels(text: str) -> list[str]:
    """Names from a comma-separated text, their number, a list or table in brackets, or a file."""
    from densecast.verbs.export import described, labels_file

    if "," not in text and labels_file.is_meant(text):
        return [*described.labels_of(Path(text))]
    return [*described.labels_of(labels_file.in_text(text))]


def _base(typed: Typed, source: Named, chosen: ExportOptions) -> Preprocess:
    """What the source itself does to images, of which the command line may change parts.

    Raises:
        UsageError: that cannot be expressed, and the command line does not say all of it.
    """
    from densecast.errors import BadCheckpointError, BadConfigError, UsageError
    from densecast.spec.preprocess import Native, Preprocess
    from densecast.verbs.export import sources

    try:
        return sources.preprocess_of(source, chosen.variant, chosen.config, is_resized=typed.resize is not None)
    except (BadConfigError, BadCheckpointError) as error:
        if typed.resize is not None and (typed.normalise is not None or None not in (typed.mean, typed.std)):
            return Preprocess(Native())
        raise UsageError(
            f"{error} State all of it instead: --resize with --normalise, or --mean and --std, and "
            "--colour BGR if it is."
        ) from None


def _preprocess(stated: dict[str, Any], normalise: str | None, base: Preprocess) -> Preprocess:
    """The preprocessing with what was typed in place of what it says."""
    from densecast.errors import BadConfigError, UsageError
    from densecast.io import codec
    from densecast.spec.preprocess import Preprocess
    from densecast.verbs.export import library_preprocess
    from densecast.verbs.export.spec_file import parse_resize

    plain = codec.to_plain(base)
    if normalise is not None:
        if any(stated[name] is not None for name in ("mean", "std", "divisor")):
            raise UsageError("--normalise says mean and deviation: leave --mean, --std and --divisor out.")
        named = codec.to_plain(library_preprocess.translate(normalise))
        plain |= {name: named[name] for name in ("mean", "std", "divisor")}
    for name, text in stated.items():
        if text is None:
            continue
        if name == "resize":
            plain[name] = codec.to_plain(parse_resize(text))
        elif name in ("mean", "std"):
            plain[name] = _numbers(name, text)
        elif name == "divisor":
            plain[name] = text
        elif name == "value_range":
            plain[name] = _value_range(text)
        else:
            plain[name] = text.upper() if name == "colour" else text
    moved = stated["mean"] is not None or stated["std"] is not None
    if moved and stated["divisor"] is None and base.divisor != 1:
        plain["divisor"] = 1.0
    try:
        return codec.from_plain(plain, Preprocess, "command line")
    except BadConfigError as error:
        said = str(error)
        for name in stated:
            said = said.replace(f"command line: {name}", f"--{name.replace('_', '-')}")
        raise BadConfigError(said, field=error.field) from None


def _value_range(text: str) -> list[float]:
    from densecast.errors import UsageError

    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise UsageError(f"--value-range {text!r} must be LOW:HIGH, such as 0:4095.") from None
    return [low, high]


def _numbers(name: str, text: str) -> list[float]:
    from densecast.errors import UsageError

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--{name} {text!r} must be comma-separated numbers.") from None
    return numbers


def export_options(static: str | None, plain: _options.Values) -> ExportOptions:
    """The options of an export, with a fixed size as `1x640x959`."""
    from densecast.errors import UsageError
    from densecast.io import codec

    if static is not None:
        try:
            batch, height, width = (int(size) for size in static.split("x"))
        except ValueError:
            raise UsageError(f"--static {static!r} must be BATCHxHEIGHTxWIDTH, such as 1x640x959.") from None
        plain |= {"size_hw": (height, width), "batch": batch}
    return codec.from_plain(plain, ExportOptions, "command line")
