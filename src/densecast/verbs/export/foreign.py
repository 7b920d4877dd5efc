"""Exports a foreign file in a confined process, and takes the artifact over from it without reading the graph here.

Everything that reads, loads, traces, compares or runs the file happens there, by the same functions. Here the reply is
a folder with a manifest, of which only this is believed: that its files are the ones it lists.
"""

from __future__ import annotations

import math
import shutil
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import make_dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from densecast import artifact
from densecast.artifact import FloatArtifact
from densecast.errors import BadArtifactError, BadGraphError
from densecast.io import codec, files
from densecast.runtime import cell, cell_server, machine, stages
from densecast.spec.model import ModelSpec
from densecast.spec.verb_options import ExportOptions
from densecast.tasks._base import TASKS, Task
from densecast.verbs.export import asked
from densecast.zoo._base import TensorFlowGraph

if TYPE_CHECKING:
    from densecast.verbs.export.onnx_facts import Facts

is_inside = cell_server.is_inside

_HERE = "densecast.verbs.export.foreign"
_OUT = "out"
# Beside the graph itself, what an export may leave in an artifact.
_MAX_FILES = 16
_MAX_SIBLINGS = 4096
_TORCH = ("onnx", "onnxruntime", "torch", "densecast.verbs.export.preload")
_ONNX = ("onnx", "onnxruntime", "densecast.verbs.export.preload")
_TENSORFLOW = ("tensorflow", "tf2onnx", *_ONNX)
# An ONNX file says itself which sizes it takes; its process narrows its limits once it has read them.
_LARGEST_PIXELS = 16 * 10**6
_TENSORFLOW_PIXELS = 10**6
_TRIAL_SIDE = 256


def export(
    path: Path,
    spec: ModelSpec,
    out: Path,
    options: ExportOptions,
    key: str,
    *,
    pixels: int | None = None,
    names: TensorFlowGraph | None = None,
) -> FloatArtifact:
    """Export a model file to `out` in a confined process, as `export_file` does it; with the `key` that it will have.

    `pixels` are those of one trial run, where they are known beforehand. `names` are those of a zoo model's TensorFlow
    graph.

    Raises:
        BadGraphError: it took too much memory or time, or is not a usable network.
        ParityError: framework and graph differ by more than the tolerance.
    """
    from densecast.verbs.export import tensorflow_source

    size = path.stat().st_size if path.is_file() else sum(each.stat().st_size for each in _files(path))
    is_tensorflow = tensorflow_source.is_tensorflow(path)
    if path.suffix == ".onnx":
        # Its weights may lie beside it.
        size += sum(
            each.stat().st_size for each in path.parent.glob(f"{path.stem}*") if each.is_file() and each != path
        )
    if pixels is None:
        pixels = _TENSORFLOW_PIXELS if is_tensorflow else _LARGEST_PIXELS
    task = TASKS.load_trusted(spec.task)
    stages.at(f"exporting {path} in a confined process")
    with tempfile.TemporaryDirectory(prefix="densecast-") as scratch:
        folder = files.real(Path(scratch))
        cell.run_in_cell(
            f"{_HERE}:export_inside",
            {
                "path": str(path.absolute()),
                "spec": codec.to_plain(spec),
                "options": codec.to_plain(options),
                "names": codec.to_plain(names) if names else None,
                "task": _reference(spec.task, task),
                "channels": task.output_channels(spec),
            },
            folder,
            subject=str(path),
            bounds=cell.limits(size, pixels),
            readable=readable(files.real(path)),
            preload=_modules(spec.task, task),
            libraries=_TENSORFLOW if is_tensorflow else _ONNX if path.suffix == ".onnx" else _TORCH,
        )
        return _taken_over(folder / _OUT, spec, out, key, str(path))


def export_inside(job: dict[str, Any], folder: Path) -> None:
    """The part of `export` in the confined process: writes the artifact to `folder / "out"`."""
    from densecast.verbs.export import export_file, tensorflow

    plain = job["spec"]
    if job["task"] is not None:
        _register(plain["task"], job["task"], job["channels"], list(plain["decode"]))
    spec = codec.from_plain(plain, ModelSpec, "spec")
    options = codec.from_plain(job["options"], ExportOptions, "options")
    if job["names"] is not None:
        names = codec.from_plain(job["names"], TensorFlowGraph, "names")
        tensorflow.export(Path(job["path"]), spec, folder / _OUT, options, names)
    else:
        export_file(Path(job["path"]), spec, folder / _OUT, options)


def facts(path: Path) -> Facts:
    """What an ONNX file says of itself in its metadata, read in a confined process.

    Raises:
        BadGraphError: it is no ONNX file, or took too much memory or time.
    """
    from densecast.verbs.export.onnx_facts import Facts

    if is_inside():
        return Facts()
    status = path.stat()
    return _facts(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _facts(path: Path, changed_ns: int, size: int) -> Facts:
    """The facts of a file as it is now."""
    from densecast.verbs.export.onnx_facts import Facts

    with tempfile.TemporaryDirectory(prefix="densecast-") as scratch:
        plain = cell.run_in_cell(
            f"{_HERE}:facts_inside",
            {"path": str(path.absolute())},
            files.real(Path(scratch)),
            subject=str(path),
            bounds=cell.limits(size, 0),
            readable=readable(files.real(path)),
            libraries=_ONNX,
        )
    return codec.from_plain(plain, Facts, str(path))


def facts_inside(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The part of `facts` in the confined process."""
    from densecast.verbs.export import onnx_facts, onnx_file

    plain: dict[str, Any] = codec.to_plain(onnx_facts.of_model(onnx_file.load(Path(job["path"]), weights=False)))
    return plain


def first_run(path: Path) -> None:
    """Read, check and run an ONNX file once in a confined process, for a verb that runs it itself afterwards.

    Raises:
        BadGraphError: it is not valid, or took too much memory or time.
    """
    with tempfile.TemporaryDirectory(prefix="densecast-") as scratch:
        cell.run_in_cell(
            f"{_HERE}:first_run_inside",
            {"path": str(path.absolute())},
            files.real(Path(scratch)),
            subject=str(path),
            bounds=cell.limits(path.stat().st_size, _LARGEST_PIXELS),
            readable=readable(files.real(path)),
            libraries=_ONNX,
        )


def first_run_inside(job: dict[str, Any], folder: Path) -> None:
    """The part of `first_run` in the confined process: every input is zeros, of a trial's size where it is open."""
    import numpy as np
    from onnx import helper

    from densecast.verbs.export import onnx_file

    model = onnx_file.read(Path(job["path"]))
    feeds = {}
    for value in onnx_file.graph_inputs(model):
        tensor = value.type.tensor_type
        sizes = zip(tensor.shape.dim, (1, 3, _TRIAL_SIDE, _TRIAL_SIDE), strict=False)
        shape = [dim.dim_value or open_size for dim, open_size in sizes]
        feeds[value.name] = np.zeros(shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    run = onnx_file.graph_runner(model.SerializeToString())
    try:
        run(feeds)
    except Exception as error:  # it may take other sizes than these; what it may not take is the memory
        if cell.is_about_memory(str(error)):
            raise


def _taken_over(made: Path, spec: ModelSpec, out: Path, key: str, subject: str) -> FloatArtifact:
    """The artifact that the confined process wrote, moved to `out`.

    Raises:
        BadGraphError: it is not what was asked for.
    """
    try:
        opened = FloatArtifact.open(made)
    except BadArtifactError as error:
        raise BadGraphError(f"{subject}: the process that exported it left no artifact ({error}).") from None
    manifest = opened.manifest
    described = replace(manifest.spec, decode=spec.decode) if _is_stand_in(spec) else manifest.spec
    if manifest.key != key or (described.name, described.task) != (spec.name, spec.task):
        raise BadGraphError(f"{subject} changed while it was exported. Export it again.")
    asked.checked(described)
    names = list(manifest.files)
    if len(names) > _MAX_FILES or not all(stat.S_ISREG((made / name).lstat().st_mode) for name in names):
        raise BadGraphError(f"{subject}: the process that exported it left something else than files.")
    with artifact.writing(out) as draft:
        for name in names:
            shutil.move(made / name, draft.folder / name)
        draft.finish(replace(manifest, spec=described, created=artifact.now(), machine=machine.describe()))
    return FloatArtifact.open(out)


def trial_pixels(spec: ModelSpec, example_size_hw: tuple[int, int]) -> int:
    """The pixels of the largest trial run of a spec's image input; open sizes are the example's."""
    batch, _, height, width = spec.input.shape
    given = zip((batch, height, width), (2, *example_size_hw), strict=True)
    return math.prod(size if isinstance(size, int) else default for size, default in given)


def _reference(name: str, task: Task[Any, Any]) -> str | None:
    """How the other process finds a task: None if by its name, else `module:Name`; "" where it cannot."""
    kind = type(task)
    if ":" in name or kind.__module__.partition(".")[0] == "densecast":
        return None
    is_reachable = kind.__module__ != "__main__" and "<locals>" not in kind.__qualname__
    return f"{kind.__module__}:{kind.__qualname__}" if is_reachable else ""


def _is_stand_in(spec: ModelSpec) -> bool:
    return _reference(spec.task, TASKS.load_trusted(spec.task)) == ""


def _register(name: str, reference: str, channels: int | None, options: Sequence[str]) -> None:
    """Make known a task that the user has given as an object, or what stands for it and answers for channels.

    What stands for it holds the fields of its decode `options` as they are: the artifact's key is made of them, too.
    """
    if name in TASKS.names():  # of an entry point
        return
    if reference:
        TASKS.register(name, TASKS.load(reference))
        return
    members: dict[str, Any] = {
        member: (lambda *arguments, **named: None) for member in dir(Task) if not member.startswith("_")
    }
    options_type = make_dataclass("Options", [(field, Any) for field in options], frozen=True)
    members |= {"name": name, "options_type": options_type, "output_channels": lambda spec: channels}
    TASKS.register(name, SimpleNamespace(**members))


def _modules(name: str, task: Task[Any, Any]) -> Sequence[str]:
    """The user's own module that the task is in."""
    module = name.partition(":")[0] if ":" in name else type(task).__module__
    return () if module == "__main__" or module.partition(".")[0] == "densecast" else (module,)


def _files(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


def readable(path: Path) -> list[Path]:
    """The file; for ONNX, whose weights may lie beside it, also what is in its folder and not hidden."""
    if path.suffix != ".onnx":
        return [path]
    siblings = sorted(each for each in path.parent.iterdir() if not each.name.startswith("."))
    return [path, *siblings[:_MAX_SIBLINGS]]
