"""Finds what a command line names as the source of an export, and what may be said of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densecast.errors import MissingFileError, UsageError
from densecast.io import files
from densecast.spec.preprocess import Native, Preprocess
from densecast.verbs.export import (
    applicable,
    described,
    foreign,
    hf_folder,
    mmdeploy,
    openmmlab,
    tensorflow_source,
    torch_file,
)
from densecast.verbs.export import checkpoint as checkpoints
from densecast.zoo._base import ZOO, ZooEntry

if TYPE_CHECKING:
    from torch import nn

    Exportable = str | Path | ZooEntry | nn.Module


@dataclass(frozen=True, slots=True)
class Named:
    """The source, its kind, and whether labels have to be said of it."""

    source: str | Path | nn.Module
    kind: applicable.Kind
    needs_labels: bool


def named(text: str, *, is_module: bool = False, is_described: bool = False, config: str | None = None) -> Named:
    """The zoo model, file, folder or module that a text names; where it `is_described`, its own labels do not matter.

    `config` is the configuration file of weights.

    Raises:
        MissingFileError, UnknownNameError, PluginError: there is none.
    """
    from densecast.verbs.export import is_file_name

    if is_module:
        checkpoints.require_torch("export of a module")
        network: Any = torch_file.load_factory(text)
        return Named(network, "module", True)
    if not is_file_name(text):
        if _looks_like_path(text):
            raise _no_source(Path(text))
        ZOO.load(text)
        return Named(text, kind_of(text), False)
    path = Path(text)
    if not (path.is_file() or path.is_dir()):
        raise MissingFileError.at(path)
    kind = kind_of(path, config)
    has_labels = kind in ("openmmlab", "mmdeploy") or (kind == "huggingface" and hf_folder.is_described(path))
    if kind == "onnx" and not is_described:
        has_labels = bool(foreign.facts(path).labels)
    if kind == "torchscript":
        torch_file.refuse_if_weights(path)
    return Named(path, kind, not has_labels)


def kind_of(source: str | Path | ZooEntry | nn.Module, config: str | None = None) -> applicable.Kind:
    """The kind of a source, for the options that it takes; `config` is the configuration file of weights."""
    if isinstance(source, (str, ZooEntry)):
        return "zoo_tensorflow" if ZOO.load(source).network is None else "zoo"
    if not isinstance(source, Path):
        return "module"
    if mmdeploy.is_folder(source):
        return "mmdeploy"
    if hf_folder.is_folder(source):
        return "huggingface"
    if tensorflow_source.is_tensorflow(source):
        return "tensorflow"
    if source.suffix == ".onnx":
        return "onnx"
    held = torch_file.held_by(source) if source.is_file() else None
    if held == "weights" and (config is not None or _has_configuration(source)):
        return "openmmlab"
    return "program" if held == "program" else "torchscript"


def holds_weights(path: Path) -> bool:
    """Whether a file of torch's holds tensors without a network."""
    return path.is_file() and torch_file.held_by(path) == "weights"


def _has_configuration(path: Path) -> bool:
    """Whether weights carry the configuration that they were trained with."""
    checkpoints.require_torch("reading a checkpoint")
    return checkpoints.has_configuration(path)


def name_of(source: str | Path | ZooEntry | nn.Module) -> str:
    """What a source's model is called where nobody says: its zoo name, its file's, or its class's."""
    if isinstance(source, (str, ZooEntry)):
        return ZOO.load(source).spec.name
    if isinstance(source, Path):
        return files.real(source).name if source.is_dir() else source.name.partition(".")[0]
    return type(source).__name__.lower()


def check(source: Named, given: Collection[str]) -> None:
    """Refuse options that have no effect on this source.

    Raises:
        UsageError: names the first one.
    """
    applicable.check(source.kind, given)
    if "weights" in given and "checkpoint" not in given and source.kind == "module":
        raise UsageError("weights says which weights of a checkpoint: name --checkpoint too.", field="weights")


def preprocess_of(source: Named, variant: str, config: str | None = None, *, is_resized: bool = False) -> Preprocess:
    """What the source's preprocessing is where nothing is said of it, or no more than how images are resized.

    `config` is the configuration file of weights.

    Raises:
        BadConfigError, BadCheckpointError, MissingFileError: a configuration that cannot be read or expressed.
    """
    if source.kind == "zoo" and isinstance(source.source, str):
        return ZOO.load(source.source).spec_for(variant).preprocess
    if source.kind == "huggingface" and isinstance(source.source, Path):
        return hf_folder.preprocess_of(source.source, is_resized=is_resized) or Preprocess(Native())
    if source.kind == "onnx" and isinstance(source.source, Path):
        return described.preprocess_of_onnx(source.source) or Preprocess(Native())
    if source.kind == "openmmlab" and isinstance(source.source, Path):
        return openmmlab.preprocess_of(source.source, config)
    return Preprocess(Native())


def located(source: Exportable) -> Exportable:
    """What is handed to `export` in Python, files and folders as their paths.

    Raises:
        MissingFileError: a path to nothing, or to a file of another format; says what to do with it.
    """
    from densecast.verbs.export import is_file_name

    if isinstance(source, str):
        if not is_file_name(source) and _looks_like_path(source):
            raise _no_source(Path(source))
        return Path(source) if is_file_name(source) else source
    if isinstance(source, Path) and source.is_file() and not tensorflow_source.is_tensorflow(source):
        lower = source.suffix.lower()
        if lower in _CURES.keys() - {".safetensors"} or (lower in _OTHERS and lower != source.suffix):
            raise _no_source(source)
    return source


def _looks_like_path(text: str) -> bool:
    """Whether it can be meant as one; a file or folder that is called as a zoo model hides none."""
    path = Path(text)
    is_likely = path.exists() or "/" in text or path.suffix.lower() in _OTHERS
    return ":" not in text and is_likely and text not in ZOO.names()


_KERAS = "Save it with model.export(FOLDER), as a SavedModel."
_COMPILED = "It was compiled for other software: export the file that it was made from."
_OTHER_FORMAT = "Convert it to ONNX with its own tools, or export the network that it was made from."
# What to do with files of other kinds, by suffix.
_CURES = {
    **dict.fromkeys((".keras", ".h5", ".hdf5"), _KERAS),
    ".safetensors": "It holds weights: name the zoo model or --module, and this file as its --checkpoint.",
    ".tflite": "Convert it to ONNX: python -m tf2onnx.convert --tflite FILE --output FILE.onnx.",
    ".ptl": "Save the network with torch.jit.save instead: this form is for phones.",
    **dict.fromkeys((".zip", ".gz", ".7z", ".rar", ".xz"), "Unpack it first."),
    ".pdmodel": "Convert it to ONNX with paddle2onnx.",
    **dict.fromkeys((".engine", ".plan", ".trt", ".xml", ".blob", ".rknn", ".om", ".hef", ".ort"), _COMPILED),
    **dict.fromkeys((".caffemodel", ".prototxt", ".mnn", ".param", ".mlpackage", ".mlmodel"), _OTHER_FORMAT),
}
# Suffixes that people name, beside those that are read.
_OTHERS = (*_CURES, ".onnx", ".pb", ".pt", ".pth", ".bin")


def _no_source(path: Path) -> MissingFileError:
    if not (path.is_file() or path.is_dir()):
        return MissingFileError.at(path)
    lower = path.suffix.lower()
    reads = "export reads .onnx, TorchScript (.pt), .pt2 and TensorFlow (.pb) files and Hugging Face folders."
    cure = _CURES.get(lower) or (f"Rename it to {path.stem}{lower}." if path.suffix != lower else "")
    if not lower and path.is_file():
        cure = f"Give it the ending of what it is, as {path.name}.onnx."
    return MissingFileError(f"{path} is nothing that can be exported: {reads} {cure}".rstrip())
