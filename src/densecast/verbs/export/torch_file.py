"""Tells files of torch apart - scripts, programs, weights, pickled networks - and says what each can be used for."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Literal

from densecast.errors import BadCheckpointError, BadGraphError, MissingFileError, PluginError
from densecast.runtime import engine_words
from densecast.verbs.export import checkpoint, file_kinds

Held = Literal["torchscript", "program", "weights"]


def held_by(path: Path) -> Held:
    """What a `.pt`, `.pth`, `.pt2` or `.ts` file holds, from the names inside its container."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # names that are no text, other versions
        return "program" if path.suffix == ".pt2" else "weights"
    if any(name.startswith("models/") or name == "serialized_exported_program.json" for name in names):
        return "program"
    has_code = any(name.startswith("code/") for name in names)
    if has_code or "data.pkl" not in names:
        return "torchscript"
    return "weights"


def refuse_weights(path: Path) -> None:
    """Say what a file of weights needs beside it; the file is read, and its content counted.

    Raises:
        BadCheckpointError: always: it has no network in it, or is not even a checkpoint.
    """
    if path.suffix in (".ts", ".torchscript"):
        what = file_kinds.other(path) or "cut off, or another kind of file"
        raise BadGraphError(f"{path} is no TorchScript module: it is {what}.")
    try:
        count = len(checkpoint.read(path))
    except BadCheckpointError as error:
        raise BadCheckpointError(f"{path.name} is no network that export can read: {error}") from None
    raise BadCheckpointError(
        f"{path.name} holds {count} tensors, no network. Name its zoo model (densecast export MODEL --checkpoint "
        f"{path.name}), the code that makes it (--module package.module:factory --checkpoint {path.name}), or its "
        "OpenMMLab configuration (--config FILE.py)."
    )


def refuse_if_weights(path: Path) -> None:
    """The same for a file that may be of another kind, or not be there.

    Raises:
        BadCheckpointError: it holds weights.
    """
    if path.is_file() and held_by(path) == "weights":
        checkpoint.require_torch("reading a checkpoint")
        refuse_weights(path)


def load_program(path: Path) -> Any:
    """The module of a `torch.export` file.

    Raises:
        MissingFileError: no such file.
        BadGraphError: not such a file, or of another version of torch.
    """
    import torch

    if not path.is_file():
        raise MissingFileError.at(path)
    try:
        return torch.export.load(path)
    except Exception as error:  # torch raises whatever the damage leads to
        raise BadGraphError(
            f"{path} cannot be read as a torch.export program ({last_line(error)}). It is damaged, or of another "
            f"version of torch than {torch.__version__}."
        ) from None


def load_factory(text: str) -> Any:
    """The `torch.nn.Module` that `package.module:name` is or makes; its code is run, from the current folder too.

    Raises:
        PluginError: it cannot be imported or called, or gives something else.
    """
    import importlib
    import sys

    from torch import nn

    module_name, colon, attribute = text.partition(":")
    if not (module_name and colon and attribute):
        raise PluginError(f"{text!r} must be package.module:factory.", field="module")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        made = importlib.import_module(module_name)
        for name in attribute.split("."):
            made = getattr(made, name)
        network: Any = made if isinstance(made, nn.Module) else made() if callable(made) else made
    except Exception as error:  # somebody's own code raises its own kinds
        raise PluginError(
            f"{text} cannot be made: {type(error).__name__}: {last_line(error)}", field="module"
        ) from None
    if not isinstance(network, nn.Module):
        raise PluginError(f"{text} gives a {type(network).__name__}, not a torch.nn.Module.", field="module")
    return network


def last_line(error: BaseException) -> str:
    """The cause in one line: the last line of torch's long messages that says something, without terminal codes."""
    return engine_words.last_telling(error)
