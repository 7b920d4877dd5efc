"""Brings the model of a run into the run's folder: exported anew, or copied from an artifact that is there."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from densecast import artifact as artifacts
from densecast.artifact import FloatArtifact
from densecast.errors import BadArtifactError, Lacking, MissingFileError, UsageError
from densecast.io import files
from densecast.spec.model import ModelSpec
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import (
    applicable,
    export,
    hf_folder,
    is_file_name,
    shipped_graph,
    sources,
    tensorflow_source,
)
from densecast.verbs.export import checkpoint as checkpoints
from densecast.verbs.export.described import Labels, Spec
from densecast.zoo._base import ZOO, ZooEntry

if TYPE_CHECKING:
    from densecast.verbs.export.sources import Exportable


@dataclass(frozen=True, slots=True)
class Described:
    """What is said of a model beside its source, as `densecast.export` takes it."""

    checkpoint: str | Path | None = None
    spec: Spec | None = None
    labels: Labels | None = None
    preprocess: object = None
    example: tuple[int, int] | None = None
    given: Collection[str] = ()


def is_artifact(source: object) -> bool:
    """Whether a text or path names the folder of an artifact; a zoo model of the same name goes before it."""
    if isinstance(source, str) and source in ZOO.names():
        return False
    return isinstance(source, (str, Path)) and (Path(source) / artifacts.MANIFEST).is_file()


def is_exported(source: object) -> bool:
    """Whether a source is an artifact, open or on disk."""
    return isinstance(source, FloatArtifact) or is_artifact(source)


def require_extras(source: Exportable | FloatArtifact, said: Described, options: ExportOptions) -> None:
    """Refuse what cannot be exported for want of a library.

    Raises:
        MissingExtraError: names every extra that is missing.
    """
    if is_exported(source):
        return
    lacking = Lacking()
    entry = entry_of(source)
    with lacking.noted():
        if entry is not None and entry.network is None:
            tensorflow_source.require_tensorflow()
        elif entry is not None:
            given = Path(said.checkpoint) if said.checkpoint is not None else None
            if not shipped_graph.applies(entry, given):
                checkpoints.require_torch("export")
    if isinstance(source, (str, Path)) and entry is None and Path(source).exists():
        kind: applicable.Kind = "module"
        with lacking.noted():
            kind = sources.kind_of(Path(source), options.config)
        with lacking.noted():
            if kind in ("torchscript", "program", "openmmlab", "huggingface"):
                checkpoints.require_torch("export")
        with lacking.noted():
            if kind == "huggingface":
                hf_folder.require_transformers()
        with lacking.noted():
            if kind == "tensorflow":
                tensorflow_source.require_tensorflow()
    lacking.refuse()


def entry_of(source: Exportable | FloatArtifact) -> ZooEntry | None:
    """The zoo entry that a source names; None for files, folders, modules and artifacts.

    Raises:
        UnknownNameError, MissingFileError: a text that names nothing.
    """
    if isinstance(source, ZooEntry):
        return source
    if not isinstance(source, str) or is_artifact(source) or is_file_name(source):
        return None
    sources.named(source)
    return ZOO.load(source)


def check(source: Exportable | FloatArtifact, said: Described, options: ExportOptions) -> None:
    """Refuse what cannot be exported, or is said to no effect, before anything is made.

    Raises:
        UsageError: something is said of an artifact, which is exported already.
        MissingFileError: no such file or folder.
    """
    if not is_exported(source):
        if isinstance(source, (str, Path)) and is_file_name(str(source)) and not Path(source).exists():
            raise MissingFileError(f"{source} does not exist.")
        return
    words = {"checkpoint": said.checkpoint, "spec": said.spec, "labels": said.labels, "preprocess": said.preprocess}
    words["example"] = said.example
    named = [*said.given, *(name for name, value in words.items() if value is not None)]
    if named or options != ExportOptions():
        what = named[0] if named else "an option of the export"
        raise UsageError(
            f"{what} has no effect on an artifact, which is exported already. Name the network or file instead.",
            field=named[0] if named else None,
        )


def into(
    out: Path,
    source: Exportable | FloatArtifact,
    said: Described,
    options: ExportOptions,
) -> FloatArtifact:
    """The float artifact `<name>__float` in `out`.

    Raises:
        DensecastError: whatever the export raises.
    """
    if isinstance(source, (str, Path)) and is_artifact(source):
        source = FloatArtifact.open(source)
    if isinstance(source, FloatArtifact):
        return _copied(source, out / f"{source.spec.name}__float")
    if isinstance(source, str) and is_file_name(source):
        source = Path(source)
    return export(
        source,
        out / f"{_name(source, said.spec, options)}__float",
        spec=said.spec,
        labels=said.labels,
        preprocess=said.preprocess,
        checkpoint=said.checkpoint,
        example=said.example,
        options=options,
        given=said.given,
    )


def _name(source: Exportable, spec: Spec | None, options: ExportOptions) -> str:
    if options.name is not None:
        return options.name
    return spec.name if isinstance(spec, ModelSpec) else sources.name_of(source)


def _copied(source: FloatArtifact, target: Path) -> FloatArtifact:
    """The artifact at `target`, so that all builds of a run lie beside what they were built from."""
    if target.exists() and files.real(target) == files.real(source.folder):
        return source
    if (target / artifacts.MANIFEST).is_file():
        with contextlib.suppress(BadArtifactError):
            there = FloatArtifact.open(target)
            if there.meaning == source.meaning:
                return there
    with artifacts.writing(target) as draft:
        for name in source.manifest.files:
            shutil.copyfile(source.file(name), draft.folder / name)
        draft.finish(source.manifest)
    return FloatArtifact.open(target)
