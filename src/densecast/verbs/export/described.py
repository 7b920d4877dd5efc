"""What is said of somebody's own network - labels, preprocessing, a spec - in any form, as a spec of ours."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from densecast.errors import BadConfigError, UsageError
from densecast.io import files
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Letterbox, Preprocess
from densecast.tasks._base import TASKS, Task
from densecast.verbs.export import (
    checkpoint,
    foreign,
    hf_folder,
    labels_file,
    library_decode,
    library_preprocess,
    spec_file,
    torch_file,
)
from densecast.verbs.export.retrained import Stated
from densecast.verbs.export.spec_file import SpecFile

_LOG = logging.getLogger(__name__)

Labels = Sequence[str] | Mapping[Any, str] | int | Path
Spec = ModelSpec | SpecFile | str | Path

_OWN = ("labels", "palette", "preprocess", "decode", "evaluation", "slide")


def given(spec: Spec | Mapping[str, Any] | None) -> tuple[Spec | None, frozenset[str]]:
    """The spec, read where it is a table of the keys of a spec file; and the keys that are said.

    Raises:
        BadConfigError: a key that a spec file does not have, or a value that it cannot have.
        UsageError: it is nothing of the kind.
    """
    if isinstance(spec, Mapping):
        return spec_file.of_plain(dict(spec), "spec"), frozenset(spec)
    if spec is not None and not isinstance(spec, (ModelSpec, SpecFile, str, Path)):
        raise UsageError(
            f"spec must be a spec file's path or contents, or a ModelSpec, got {type(spec).__name__}.", field="spec"
        )
    if isinstance(spec, SpecFile):
        return spec, _changed(spec)
    if isinstance(spec, (str, Path)):
        return spec, spec_file.read_with_keys(Path(spec))[1]
    return spec, frozenset()


def labels_of(labels: Labels) -> tuple[str, ...]:
    """Names in the order of their channels: a list, their number, a table from index to name (`id2label`), or a file.

    Raises:
        MissingFileError: there is no such file.
        BadConfigError: an empty or doubled name, a table with gaps, or a file without names.
    """
    if isinstance(labels, Path) or (isinstance(labels, str) and labels_file.is_meant(labels)):
        return labels_of(labels_file.read(Path(labels)))
    if isinstance(labels, (bool, str)) or not isinstance(labels, (int, Iterable)):
        raise BadConfigError(
            f"labels must be a list of names, their number, a table, or a file with them, got {labels!r}.",
            field="labels",
        )
    if isinstance(labels, int):
        if labels < 1:
            raise BadConfigError(f"there must be at least one label, got {labels}.", field="labels")
        return tuple(f"class_{index}" for index in range(labels))
    if isinstance(labels, Mapping):
        try:
            table = {int(index): str(name) for index, name in labels.items()}
        except (TypeError, ValueError):
            raise BadConfigError(
                "a table of labels goes from index to name, as id2label does.", field="labels"
            ) from None
        if sorted(table) != list(range(len(table))):
            raise BadConfigError(f"the labels' indices must be 0 to {len(table) - 1} without a gap.", field="labels")
        return checked([table[index] for index in range(len(table))])
    return checked([str(name) for name in labels])


def checked(labels: Sequence[str]) -> tuple[str, ...]:
    """The names without blanks around them.

    Raises:
        BadConfigError: an empty or doubled one.
    """
    names = tuple(name.strip() for name in labels)
    if "" in names:
        raise BadConfigError(f"label {names.index('')} is empty.", field="labels")
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise BadConfigError(f"the label {twice!r} is there twice.", field="labels")
    return names


def model_spec(
    name: str, spec: Spec | None, labels: Labels | None, preprocess: object, task: str | Task[Any, Any]
) -> ModelSpec:
    """The spec of a file or a module.

    Raises:
        UsageError: a spec and labels or preprocessing beside it.
        BadConfigError: see `labels_of` and `library_preprocess.translate`.
    """
    if not isinstance(task, str):
        task_name = task.name
        if task_name not in TASKS.names():
            TASKS.register(task_name, task)
        task = task_name
    if spec is None:
        described = SpecFile(labels_of(labels) if labels is not None else (), task=task)
        if preprocess is not None:
            described = replace(described, preprocess=library_preprocess.translate(preprocess))
        return described.model(name)
    _alone(labels, preprocess)
    if isinstance(spec, (str, Path)):
        spec = spec_file.read(Path(spec))
    if isinstance(spec, SpecFile):
        return replace(spec, labels=checked(spec.labels)).model(name)
    return spec


def stated(spec: Spec | None, labels: Labels | None, preprocess: object, keys: frozenset[str]) -> Stated:
    """What is said of one's own weights in a zoo model: of a spec file, the `keys` that stand in it.

    Raises:
        UsageError: a spec and labels or preprocessing beside it, or what a zoo model has of its own.
    """
    if spec is None:
        return Stated(
            labels_of(labels) if labels is not None else None,
            preprocess=library_preprocess.translate(preprocess) if preprocess is not None else None,
        )
    _alone(labels, preprocess)
    if isinstance(spec, ModelSpec):
        return Stated(spec.labels, spec.palette, spec.preprocess, spec.decode, spec.evaluation)
    described = spec if isinstance(spec, SpecFile) else spec_file.read(Path(spec))
    ignored = sorted(_changed(described) - set(_OWN))
    if ignored:
        raise UsageError(f"a zoo model has its own {', '.join(ignored)}: leave them out of the spec.", field="spec")
    return Stated(
        checked(described.labels) or None,
        described.palette,
        described.preprocess if "preprocess" in keys else None,
        described.decode,
        described.evaluation,
        described.slide,
    )


def has_labels(task: str | Task[Any, Any]) -> bool:
    """Whether the task gives labels: one of numbers alone, as depth, refuses them."""
    known = TASKS.load_trusted(task) if isinstance(task, str) else task
    return getattr(known, "has_labels", True) is True


def of_module(
    source: object, spec: Spec | None, labels: Labels | None, task: str | Task[Any, Any], keys: frozenset[str]
) -> tuple[Spec | None, Labels | None]:
    """Spec and labels for a module: what is said, else the table that transformers' models carry in their `config`."""
    own = getattr(getattr(source, "config", None), "id2label", None)
    if labels is not None or not isinstance(own, Mapping) or not own:
        return spec, labels
    if spec is not None:
        return _completed(spec, keys, lambda: labels_of(own), lambda: None), None
    return None, own if has_labels(task) else None


def of_folder(
    folder: Path,
    spec: Spec | None,
    labels: Labels | None,
    preprocess: object,
    task: str | Task[Any, Any],
    keys: frozenset[str],
) -> tuple[Any, ModelSpec]:
    """The network of a Hugging Face folder, and its spec: what is said, and else what the folder's files say."""
    checkpoint.require_torch("export of a Hugging Face folder")
    for remark in hf_folder.remarks_of(folder):
        _LOG.warning("%s", remark)
    name = files.real(folder).name
    if spec is not None:
        _alone(labels, preprocess)
        if not isinstance(spec, ModelSpec) and not keys & {"task", "labels"}:
            described = spec_file.read(Path(spec)) if isinstance(spec, (str, Path)) else spec
            spec = replace(described, task=hf_folder.task_of(folder) or described.task)
        spec = _completed(
            spec, keys, lambda: hf_folder.labels(folder), functools.partial(hf_folder.preprocess_of, folder)
        )
        model = model_spec(name, spec, None, None, task)
        hf_folder.refuse_other_task(folder, model.task)
        model = library_decode.settle(model, spec, *hf_folder.kind_of(folder))
        return hf_folder.load(folder, model.task), model
    if task == "segmentation" and labels is None:
        task = hf_folder.task_of(folder) or task
    hf_folder.refuse_other_task(folder, task if isinstance(task, str) else task.name)
    own_labels = hf_folder.labels(folder)
    own_preprocess = hf_folder.preprocess_of(folder) if preprocess is None else None
    if not has_labels(task):
        own_labels = ()
    model = model_spec(name, None, labels or own_labels, preprocess or own_preprocess, task)
    model = library_decode.settle(model, None, *hf_folder.kind_of(folder))
    return hf_folder.load(folder, model.task), model


def of_file(
    kind: str,
    path: Path,
    spec: Spec | None,
    labels: Labels | None,
    preprocess: object,
    task: str | Task[Any, Any],
    keys: frozenset[str],
) -> tuple[Spec | None, Labels | None, object]:
    """Spec, labels and preprocessing of a file: those given, else of an ONNX file's own metadata; weights are refused.

    A spec file that is silent about labels or preprocessing has those of the metadata.
    """
    if kind == "torchscript":
        torch_file.refuse_if_weights(path)
    if kind != "onnx":
        return spec, labels, preprocess
    if spec is not None:
        of_metadata = functools.partial(preprocess_of_onnx, path)
        return _completed(spec, keys, lambda: of_onnx(path), of_metadata), labels, preprocess
    return (
        None,
        of_onnx(path) if labels is None and has_labels(task) else labels,
        preprocess_of_onnx(path) if preprocess is None else preprocess,
    )


def _completed(
    spec: Spec,
    keys: frozenset[str],
    own_labels: Callable[[], tuple[str, ...] | None],
    own_preprocess: Callable[[], Preprocess | None],
) -> Spec:
    """A spec file's contents, with what a source says of itself where the file is silent; other specs are whole."""
    if isinstance(spec, ModelSpec):
        return spec
    described = spec_file.read(Path(spec)) if isinstance(spec, (str, Path)) else spec
    if "labels" not in keys and has_labels(described.task):
        described = replace(described, labels=own_labels() or ())
    preprocess = own_preprocess() if "preprocess" not in keys else None
    return described if preprocess is None else replace(described, preprocess=preprocess)


def _changed(described: SpecFile) -> frozenset[str]:
    """The fields that are not as in an empty spec file."""
    silent = SpecFile()
    names = (field.name for field in dataclasses.fields(SpecFile))
    return frozenset(name for name in names if getattr(described, name) != getattr(silent, name))


def of_onnx(path: Path) -> tuple[str, ...] | None:
    """The labels that an ONNX file has in its metadata, None where it has none.

    Raises:
        BadGraphError: it is no ONNX file.
    """
    if not path.is_file():
        return None  # whoever opens it says so
    facts = foreign.facts(path)
    if facts.fault:
        _LOG.warning("%s has labels in its metadata that cannot be used (%s)", path.name, facts.fault)
    return facts.labels or None


def preprocess_of_onnx(path: Path) -> Preprocess | None:
    """The preprocessing that an ONNX file's metadata tell; None where they do not.

    Ultralytics names the size that images are letterboxed to (`imgsz`), and divides them by 255.

    Raises:
        BadGraphError: it is no ONNX file.
    """
    if not path.is_file():
        return None  # whoever opens it says so
    facts = foreign.facts(path)
    return Preprocess(Letterbox(facts.size_hw)) if facts.maker and facts.size_hw else None


def _alone(labels: Labels | None, preprocess: object) -> None:
    if labels is not None or preprocess is not None:
        raise UsageError("the spec says labels and preprocessing: leave them out beside it.", field="spec")
