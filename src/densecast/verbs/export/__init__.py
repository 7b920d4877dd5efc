"""Exports a trained network to a float artifact: one ONNX graph, verified against its framework."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densecast import artifact
from densecast.artifact import FloatArtifact, FloatManifest, NetworkRef, WeightsRecord
from densecast.errors import BadConfigError, BadShapeError, MissingFileError, UsageError
from densecast.io import codec, files
from densecast.networks._base import NETWORKS, Network
from densecast.runtime import machine
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Preprocess
from densecast.spec.tensor import Dim, TensorSpec
from densecast.spec.verb_options import ExportOptions
from densecast.tasks._base import TASKS, Task
from densecast.verbs.export import checkpoint as checkpoints
from densecast.verbs.export import foreign, onnx_file, spec_file, tensorflow, tensorflow_source, torch_module, weights
from densecast.verbs.export.spec_file import SpecFile
from densecast.zoo._base import ZOO, ZooEntry

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ExportOptions", "SpecFile", "export", "export_file", "export_module", "export_zoo", "is_file_name"]

_SUFFIXES = (".onnx", ".pt", ".pth", ".ts", ".torchscript")
_EXAMPLE_HW = (512, 512)


def export(
    source: str | Path | ZooEntry | nn.Module,
    out: str | Path,
    *,
    spec: ModelSpec | SpecFile | str | Path | None = None,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    task: str | Task[Any, Any] = "segmentation",
    checkpoint: str | Path | None = None,
    example: tuple[int, int] | None = None,
    options: ExportOptions = ExportOptions(),
    progress: weights.Progress | None = None,
) -> FloatArtifact:
    """Export a network to a float artifact at `out`: a zoo model, a file, or a `torch.nn.Module`.

    A zoo model says itself what it is. Of a file or a module it is said by `spec`, a spec file or its contents; or by
    `labels`, `preprocess` (default: the image as it is, divided by 255) and `task`. `checkpoint` are the weights of a
    zoo model or a module. `example` is the height and width at which a module is traced and compared.

    Raises:
        UsageError: arguments that do not go together.
        UnknownNameError, BadConfigError, MissingFileError, BadCheckpointError, BadGraphError, ParityError:
            see `export_zoo`, `export_file` and `export_module`.
    """
    given = Path(checkpoint) if checkpoint is not None else None
    if isinstance(source, str) and is_file_name(source):
        source = Path(source)
    if isinstance(source, (str, ZooEntry)):
        if spec is not None or labels is not None or preprocess is not None:
            raise UsageError("a zoo model says itself what it is: leave spec, labels and preprocess out.", field="spec")
        return export_zoo(source, out, options, given=given, progress=progress)
    name = source.name.partition(".")[0] if isinstance(source, Path) else type(source).__name__.lower()
    model = _model_spec(name, spec, labels, preprocess, task)
    if isinstance(source, Path):
        if given is not None:
            raise UsageError("a file brings its own weights: leave the checkpoint out.", field="checkpoint")
        return export_file(source, model, out, options)
    return export_module(source, model, out, options, example=example, checkpoint=given)


def export_zoo(
    name: str | ZooEntry,
    out: str | Path,
    options: ExportOptions = ExportOptions(),
    *,
    given: str | Path | None = None,
    progress: weights.Progress | None = None,
) -> FloatArtifact:
    """Export a zoo model to a float artifact at `out`, with weights from `given` or where they are found.

    An artifact already at `out` that was made from the same weights with the same options and versions is reused.

    Raises:
        UnknownNameError: no such model, or no such variant of it.
        MissingFileError: the weights were not found.
        BadCheckpointError: they are damaged, or belong to another network.
        ParityError: graph and framework differ by more than the tolerance.
    """
    entry, out = ZOO.load(name), Path(out)
    spec = _named(entry.spec_for(options.variant), options)
    TASKS.load(spec.task).check(spec)
    given = Path(given) if given is not None else None
    if entry.tensorflow is not None:
        tensorflow_source.require_tensorflow()
    is_folder = given is not None and given.is_dir() and entry.tensorflow is not None
    path = given if given is not None and is_folder else weights.find(entry.checkpoint, given, progress)
    if entry.network is None:
        return tensorflow.export(path, spec, out, options, entry.tensorflow)
    checkpoints.require_torch("export")
    plugin = NETWORKS.load(entry.network)
    state = checkpoints.read(path)
    network_options = _network_options(plugin, entry, state)
    network = plugin.build(network_options).eval()
    checkpoints.load_into(network, state, plugin, network_options, f"checkpoint {path}")
    spec = spec.with_input(_input(entry.spec.input, options, plugin.input_multiple))
    key = _key(files.sha256(path), spec, options)
    if (existing := FloatArtifact.existing(out, key)) is not None:
        return existing
    manifest = FloatManifest(
        spec,
        key,
        artifact.now(),
        machine.describe(),
        source=f"zoo {entry.spec.name}",
        network=NetworkRef(entry.network, dataclasses.asdict(network_options)),
        weights=WeightsRecord(path.name, files.sha256(path), len(state)),
    )

    keep = torch_module.keep_weights(network, entry.network)
    return torch_module.export(network, manifest, options, entry.example_size_hw, keep, out)


def export_file(
    path: str | Path, spec: ModelSpec, out: str | Path, options: ExportOptions = ExportOptions()
) -> FloatArtifact:
    """Export a TorchScript `.pt`, TensorFlow or `.onnx` file to a float artifact at `out`; `spec` describes it.

    TensorFlow's are frozen graphs (`.pb`, or an archive with one) and SavedModel folders. A TorchScript's
    sizes are open within those of `spec`, unless `options` fix them.
    For an ONNX file the input's open and fixed sizes are the file's own, and there is no framework to compare
    with: the graph is checked by ONNX itself and run once.
    All of this happens in a confined process, with limits on memory and time.

    Raises:
        MissingFileError: no such file.
        MissingExtraError: what reads this kind of file is not installed.
        BadConfigError: `spec` makes no sense for its task.
        BadGraphError: not a usable network.
        ParityError: framework and graph differ by more than the tolerance.
    """
    path, out, spec = Path(path), Path(out), _named(spec, options)
    TASKS.load_trusted(spec.task).check(spec)
    if tensorflow_source.is_tensorflow(path):
        return tensorflow.export(path, spec, out, options)
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist.")
    if not is_file_name(path.name):
        raise BadConfigError(
            f"{path.name}: export reads .onnx, TorchScript (.pt) and TensorFlow (.pb) files, and names of zoo models."
        )
    is_onnx = path.suffix == ".onnx"
    if not is_onnx:
        spec = _with_sizes(spec, options)
    key = _key(files.sha256(path), spec, options)
    if (existing := FloatArtifact.existing(out, key)) is not None:
        return existing
    if not foreign.is_inside():
        if not is_onnx:
            checkpoints.require_torch("export of TorchScript")
        pixels = None if is_onnx else foreign.trial_pixels(spec, options.size_hw or _EXAMPLE_HW)
        return foreign.export(path, spec, out, options, key, pixels=pixels)
    manifest = FloatManifest(spec, key, artifact.now(), machine.describe(), source=f"{path.name}")
    if is_onnx:
        return onnx_file.export(path, manifest, options, out)
    network = onnx_file.load_torchscript(path)
    keep = torch_module.keep_script(path)
    return torch_module.export(network, manifest, options, options.size_hw or _EXAMPLE_HW, keep, out)


def export_module(
    module: nn.Module,
    spec: ModelSpec,
    out: str | Path,
    options: ExportOptions = ExportOptions(),
    *,
    example: tuple[int, int] | None = None,
    checkpoint: str | Path | None = None,
) -> FloatArtifact:
    """Export a `torch.nn.Module` to a float artifact at `out`; `spec` describes it.

    It takes (N, 3, H, W) float32, and returns a tensor, or a dict, dataclass or sequence of tensors. It is exported as
    it is in evaluation mode on the CPU, and is itself left as it was. `example` is the height and width at which it is
    traced; graph and module are then compared at that size and a smaller one. `checkpoint` are weights to load first.

    Raises:
        BadConfigError: `spec` makes no sense for its task.
        BadCheckpointError: the checkpoint does not fit.
        BadGraphError: it cannot be exported, or its outputs do not fit the task.
        ParityError: graph and module differ by more than the tolerance.
    """
    checkpoints.require_torch("export of a module")
    TASKS.load_trusted(spec.task).check(spec)
    network = copy.deepcopy(module).cpu().eval()
    record = None
    if checkpoint is not None:
        path = Path(checkpoint)
        state = checkpoints.read(path)
        checkpoints.load_into(network, state, None, None, f"checkpoint {path}")
        record = WeightsRecord(path.name, files.sha256(path), len(state))
    kind = type(module)
    manifest = FloatManifest(
        _named(_with_sizes(spec, options), options),
        "",
        artifact.now(),
        machine.describe(),
        source=f"module {kind.__module__}.{kind.__qualname__}",
        weights=record,
    )
    size_hw = options.size_hw or example or _EXAMPLE_HW
    return torch_module.export(network, manifest, options, size_hw, torch_module.keep_traced, Path(out))


def is_file_name(name: str) -> bool:
    """Whether the name is that of a file for `export_file`; other names are zoo models."""
    path = Path(name)
    return path.suffix in _SUFFIXES or tensorflow_source.is_tensorflow(path)


def _model_spec(
    name: str,
    spec: ModelSpec | SpecFile | str | Path | None,
    labels: Sequence[str] | None,
    preprocess: Preprocess | None,
    task: str | Task[Any, Any],
) -> ModelSpec:
    if not isinstance(task, str):
        task_name = task.name
        if task_name not in TASKS.names():
            TASKS.register(task_name, task)
        task = task_name
    if spec is None:
        described = SpecFile(tuple(labels or ()), task=task)
        return (replace(described, preprocess=preprocess) if preprocess else described).model(name)
    if labels is not None or preprocess is not None:
        raise UsageError("the spec says labels and preprocessing: leave them out beside it.", field="labels")
    if isinstance(spec, (str, Path)):
        spec = spec_file.read(Path(spec))
    return spec.model(name) if isinstance(spec, SpecFile) else spec


def _network_options(plugin: Network[Any], entry: ZooEntry, state: Mapping[str, Any]) -> Any:
    """The entry's network options, with those (bias, upsampling) that the weights determine."""
    try:
        options = plugin.options_type(**entry.options)
    except TypeError as error:
        raise BadConfigError(f"zoo entry {entry.spec.name}: options of network {entry.network!r}: {error}") from None
    return plugin.options_from_state(plugin.clean(state), options) if plugin.options_from_state else options


def _input(spec: TensorSpec, options: ExportOptions, multiple: int) -> TensorSpec:
    """The zoo entry's input with the requested fixed or dynamic sizes."""
    lowest = -(-max(options.side.min, multiple) // multiple) * multiple
    highest = options.side.max // multiple * multiple
    height: int | Dim = Dim("H", lowest, highest, multiple)
    width: int | Dim = Dim("W", lowest, highest, multiple)
    if options.size_hw is not None:
        height, width = options.size_hw
        if height % multiple or width % multiple:
            raise BadShapeError(
                f"this network's height and width must be multiples of {multiple}, got {height}×{width}.",
                field="size_hw",
            )
    batch: int | Dim = options.batch or Dim("N", 1, options.largest_batch)
    return replace(spec, shape=(batch, spec.shape[1], height, width))


def _named(spec: ModelSpec, options: ExportOptions) -> ModelSpec:
    return spec if options.name is None else replace(spec, name=options.name)


def _with_sizes(spec: ModelSpec, options: ExportOptions) -> ModelSpec:
    """The spec's own input with the requested fixed sizes."""
    height, width = options.size_hw or spec.input.shape[2:]
    sizes = (options.batch or spec.input.shape[0], spec.input.shape[1], height, width)
    return spec.with_input(replace(spec.input, shape=sizes))


def _key(source_sha256: str, spec: ModelSpec, options: ExportOptions) -> str:
    parts = (
        source_sha256,
        codec.to_json(spec),
        codec.to_json(options),
        machine.versions(("densecast", "torch", "onnx")),
    )
    return files.sha256_text(repr(parts))
