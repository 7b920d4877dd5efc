"""Exports a trained network to a float artifact: one ONNX graph, verified against its framework."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densecast import artifact
from densecast.artifact import FloatArtifact, FloatManifest, NetworkRef, WeightsRecord
from densecast.errors import BadConfigError, MissingFileError, UsageError
from densecast.io import codec, files
from densecast.networks._base import NETWORKS
from densecast.runtime import machine
from densecast.spec.choices import checked
from densecast.spec.model import ModelSpec
from densecast.spec.verb_options import ExportOptions
from densecast.tasks._base import TASKS, Task
from densecast.verbs.export import (
    applicable,
    asked,
    described,
    foreign,
    hf_folder,
    library_decode,
    mask_classifiers,
    mmdeploy,
    one_size,
    onnx_file,
    openmmlab,
    own_copy,
    program,
    retrained,
    shipped_graph,
    sources,
    state_dicts,
    tensorflow,
    tensorflow_source,
    torch_file,
    torch_module,
    trial_sizes,
    weights,
)
from densecast.verbs.export import checkpoint as checkpoints
from densecast.verbs.export.described import Labels, Spec
from densecast.verbs.export.retrained import Stated
from densecast.verbs.export.spec_file import SpecFile
from densecast.zoo._base import ZOO, ZooEntry

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ExportOptions", "SpecFile", "export", "export_file", "export_module", "export_zoo", "is_file_name"]

_SUFFIXES = (".onnx", ".pt", ".pth", ".pt2", ".ts", ".torchscript", ".ckpt")


@checked
def export(
    source: str | Path | ZooEntry | nn.Module,
    out: str | Path,
    *,
    spec: Spec | Mapping[str, Any] | None = None,
    labels: Labels | None = None,
    preprocess: object = None,
    task: str | Task[Any, Any] = "segmentation",
    checkpoint: str | Path | None = None,
    example: tuple[int, int] | None = None,
    output: str | None = None,
    options: ExportOptions = ExportOptions(),
    given: Collection[str] = (),
    progress: weights.Progress | None = None,
) -> FloatArtifact:
    """Export a network to a float artifact at `out`: a zoo model, a file, a folder, or a `torch.nn.Module`.

    A zoo model, an OpenMMLab checkpoint and a Hugging Face folder say themselves what they are, a transformers model in
    memory its labels; what is said here overrules it. Of others it is said by `spec`, a spec file or its contents; or
    by `labels` (a list, their number, or a table such as `id2label`), `preprocess` and `task`. `preprocess` is ours,
    "imagenet", "0..1", "-1..1", "0..255", or another library's: see `library_preprocess.translate`; else image / 255.
    `checkpoint` are the weights of a zoo model or a module. `example` is the height and width at which a module is
    traced and compared. `output` names the main output, `given` options whose default somebody asked for.

    Raises:
        UsageError: arguments that do not go together, or would have no effect on this kind of source.
        DensecastError: see `export_zoo`, `export_file` and `export_module`.
    """
    if output is not None:
        options = dataclasses.replace(options, output_name=output)
    spec, keys = described.given(spec)
    source = sources.located(source)
    arguments = {"spec": spec, "labels": labels, "preprocess": preprocess, "checkpoint": checkpoint, "example": example}
    said = [name for name, value in arguments.items() if value is not None]
    said += [each.name for each in dataclasses.fields(options) if getattr(options, each.name) != each.default]
    kind = sources.kind_of(source, options.config)
    applicable.check(kind, [*said, *given])
    if "weights" in (*said, *given) and kind == "module" and checkpoint is None:
        raise UsageError("weights says which weights of a checkpoint: name the checkpoint too.", field="weights")
    if isinstance(source, (str, ZooEntry)):
        stated = described.stated(spec, labels, preprocess, keys)
        return export_zoo(source, out, options, given=checkpoint, stated=stated, progress=progress)
    name = sources.name_of(source)
    if kind == "huggingface" and isinstance(source, Path):
        network, spec = described.of_folder(source, spec, labels, preprocess, task, keys)
        return export_module(network, spec, out, options)
    if kind == "openmmlab" and isinstance(source, Path):
        return openmmlab.export(source, files.given(out), options, described.stated(spec, labels, preprocess, keys))
    if kind == "mmdeploy" and isinstance(source, Path):
        source, spec, labels = *mmdeploy.read(source, labels), None
    elif isinstance(source, Path):
        spec, labels, preprocess = described.of_file(kind, source, spec, labels, preprocess, task, keys)
    spec, labels = described.of_module(source, spec, labels, task, keys)
    model = described.model_spec(name, spec, labels, preprocess, task)
    if isinstance(source, Path):
        return export_file(source, model, out, options)
    model = library_decode.of_module(model, spec, source)
    return export_module(source, model, out, options, example=example, checkpoint=checkpoint)


@checked
def export_zoo(
    name: str | ZooEntry,
    out: str | Path,
    options: ExportOptions = ExportOptions(),
    *,
    given: str | Path | None = None,
    stated: Stated | None = None,
    progress: weights.Progress | None = None,
) -> FloatArtifact:
    """Export a zoo model to a float artifact at `out`, with weights from `given` or where they are found.

    Number of classes and widths are read from the weights, labels and colours from a file that has them; `stated`
    overrules what the zoo entry and the file say. An artifact already at `out` that was made from the same weights with
    the same options and versions is reused.

    Raises:
        UnknownNameError: no such model, or no such variant of it.
        MissingFileError: the weights were not found.
        BadCheckpointError: they are damaged, or belong to another network.
        ParityError: graph and framework differ by more than the tolerance.
    """
    entry, out, given = ZOO.load(name), files.given(out), Path(given) if given is not None else None
    spec = asked.with_options(entry.spec_for(options.variant), options)
    TASKS.load(spec.task).check(spec)
    if entry.tensorflow is not None:
        tensorflow_source.require_tensorflow()
    if shipped_graph.applies(entry, given):
        return shipped_graph.export(entry, out, options, stated or Stated())
    is_folder = given is not None and given.is_dir() and entry.tensorflow is not None
    path = given if given is not None and is_folder else weights.find(entry.checkpoint, given, progress)
    if entry.network is None:
        return tensorflow.export(path, spec, out, options, entry.tensorflow)
    checkpoints.require_torch("export")
    plugin = NETWORKS.load(entry.network)
    checkpoint = checkpoints.open_checkpoint(path, options.weights)
    state, prefix_notes = checkpoints.for_network(plugin, retrained.entry_options(plugin, entry), checkpoint.state)
    network_options = retrained.network_options(plugin, entry, state)
    network = plugin.build(network_options).eval()
    checkpoints.load_into(network, state, plugin, network_options, f"checkpoint {path}")
    spec, notes = retrained.apply(spec, getattr(network_options, "classes", None), checkpoint, stated or Stated())
    TASKS.load(spec.task).check(spec)
    spec = spec.with_input(trial_sizes.of_zoo(entry.spec.input, options, plugin.input_multiple))
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
        passes=(*checkpoint.notes, *prefix_notes, *notes),
    )
    keep = torch_module.keep_weights(network, entry.network)
    return torch_module.export(network, manifest, options, entry.example_size_hw, keep, out)


@checked
def export_file(
    path: str | Path, spec: ModelSpec, out: str | Path, options: ExportOptions = ExportOptions()
) -> FloatArtifact:
    """Export a TorchScript, `.pt2`, TensorFlow or `.onnx` file to a float artifact at `out`; `spec` describes it.

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
    path, out, spec = Path(path), files.given(out), asked.with_options(spec, options)
    TASKS.load_trusted(spec.task).check(spec)
    if tensorflow_source.is_tensorflow(path):
        return tensorflow.export(path, spec, out, options)
    if not path.is_file():
        raise MissingFileError.at(path)
    if not is_file_name(path.name):
        raise BadConfigError(
            f"{path.name}: export reads .onnx, TorchScript (.pt), torch.export (.pt2) and TensorFlow (.pb) files, "
            "Hugging Face folders, and names of zoo models."
        )
    is_onnx = path.suffix == ".onnx"
    held = "onnx" if is_onnx else torch_file.held_by(path)
    if not is_onnx:
        torch_file.refuse_if_weights(path)
        spec = trial_sizes.requested(spec, options)
    key = _key(files.sha256(path), spec, options)
    if (existing := FloatArtifact.existing(out, key)) is not None:
        return existing
    if not foreign.is_inside():
        if not is_onnx:
            checkpoints.require_torch("export of TorchScript")
        pixels = None if is_onnx else foreign.trial_pixels(spec, trial_sizes.example_hw(spec, options))
        return foreign.export(path, spec, out, options, key, pixels=pixels)
    manifest = FloatManifest(spec, key, artifact.now(), machine.describe(), source=f"{path.name}")
    if is_onnx:
        return onnx_file.export(path, manifest, options, out)
    if held == "program":
        return program.export(torch_file.load_program(path), manifest, options, out)
    network = onnx_file.load_torchscript(path)
    size_hw = trial_sizes.example_hw(spec, options)
    return one_size.export(network, manifest, options, size_hw, one_size.script_at(path), out, path.name)


@checked
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
    module = own_copy.unwrapped(module)
    kind = type(module)
    hf_folder.refuse_by_class(kind.__name__, spec.task)
    network = own_copy.of(module)
    record: WeightsRecord | None = None
    notes: tuple[str, ...] = ()
    if checkpoint is not None:
        path = Path(checkpoint)
        opened = checkpoints.open_checkpoint(path, options.weights)
        state, prefix_notes = state_dicts.without_prefix(opened.state, network.state_dict())
        checkpoints.load_into(network, state, None, None, f"checkpoint {path}")
        record = WeightsRecord(path.name, files.sha256(path), len(state))
        notes = (*opened.notes, *prefix_notes)
    network, notes = mask_classifiers.by_pixel(network, notes)
    manifest = FloatManifest(
        asked.with_options(trial_sizes.requested(spec, options), options),
        "",
        artifact.now(),
        machine.describe(),
        source=f"module {kind.__module__}.{kind.__qualname__}",
        weights=record,
        passes=notes,
    )
    size_hw, target = trial_sizes.example_hw(spec, options, example), files.given(out)
    return one_size.export(network, manifest, options, size_hw, one_size.traced, target, kind.__name__)


def is_file_name(name: str) -> bool:
    """Whether the name is that of a file or folder to export; other names are zoo models."""
    path = Path(name)
    is_folder = hf_folder.is_folder(path) or mmdeploy.is_folder(path)
    return path.suffix in _SUFFIXES or tensorflow_source.is_tensorflow(path) or is_folder


def _key(source_sha256: str, spec: ModelSpec, options: ExportOptions) -> str:
    parts = (
        source_sha256,
        codec.to_json(spec),
        codec.to_json(options),
        machine.versions(("densecast", "torch", "onnx")),
    )
    return files.sha256_text(repr(parts))
