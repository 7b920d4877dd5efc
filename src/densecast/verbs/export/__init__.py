"""Checkpoint, TorchScript or ONNX file  ->  float artifact: one ONNX graph, verified against the framework."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densecast import artifact, plugins
from densecast.artifact import Artifact, Manifest, NetworkRef, WeightsRecord
from densecast.errors import BadCheckpointError, BadConfigError, BadShapeError, MissingFileError
from densecast.io import codec, files
from densecast.runtime import machine
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Dim, TensorSpec
from densecast.verbs.export import checkpoint, onnx_file, parity, tensorflow, tensorflow_source, weights
from densecast.verbs.export.options import ExportOptions
from densecast.verbs.export.to_onnx import to_onnx
from densecast.zoo._base import ZooEntry

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ExportOptions", "export_file", "export_zoo", "is_file_name"]

_SEED = 20
_SUFFIXES = (".onnx", ".pt", ".pth", ".ts", ".torchscript")


def export_zoo(
    name: str,
    out: Path,
    options: ExportOptions = ExportOptions(),
    *,
    given: Path | None = None,
    progress: weights.Progress | None = None,
) -> Artifact:
    """A model of the zoo, its weights from `given` or wherever they are found, as a float artifact at `out`.

    An artifact already at `out` that was made from the same weights with the same options and versions is kept.

    Raises:
        UnknownNameError: no such model, or no such protocol of it.
        MissingFileError: the weights were not found.
        BadCheckpointError: they are damaged, or belong to another network.
        ParityError: graph and framework differ by more than the tolerance.
    """
    entry: ZooEntry = plugins.load("zoo", name).ENTRY
    if entry.tensorflow is not None:
        tensorflow_source.require_tensorflow()
    is_folder = given is not None and given.is_dir() and entry.tensorflow is not None
    path = given if given is not None and is_folder else weights.find(entry.checkpoint, given, progress)
    if entry.network is None:
        return tensorflow.export(path, entry.spec_for(options.protocol), out, options, entry.tensorflow)
    checkpoint.require_torch("export")
    plugin = plugins.load("networks", entry.network)
    state = checkpoint.read(path)
    network_options = _network_options(plugin, entry, state)
    network = plugin.build(network_options).eval()
    checkpoint.load_into(network, state, plugin, network_options, f"checkpoint {path}")
    spec = replace(entry.spec_for(options.protocol), input=_input(entry.spec.input, options, plugin.INPUT_MULTIPLE))
    key = _key(files.sha256(path), spec, options)
    if (kept := Artifact.kept(out, key)) is not None:
        return kept
    record = WeightsRecord(path.name, files.sha256(path), len(state))

    def keep_weights(folder: Path) -> None:
        from safetensors.torch import save_file

        save_file(
            {name: value.contiguous() for name, value in network.state_dict().items()},
            folder / "weights.safetensors",
        )

    manifest = Manifest(
        "float",
        spec,
        key,
        artifact.now(),
        machine.describe(),
        source=f"zoo {name}",
        network=NetworkRef(entry.network, dataclasses.asdict(network_options)),
        weights=record,
    )
    return _export_module(network, manifest, options, entry.example_size_hw, keep_weights, out)


def export_file(
    path: Path,
    spec: ModelSpec,
    out: Path,
    options: ExportOptions = ExportOptions(),
) -> Artifact:
    """A TorchScript `.pt`, TensorFlow or ready `.onnx` file as a float artifact at `out`; `spec` says what it is.

    TensorFlow's are frozen graphs (`.pb`, or an archive with one) and SavedModel folders. A TorchScript's
    sizes are open within those of `spec`, unless `options` fix them.
    For an ONNX file the input's open and fixed sizes are the file's own, and there is no framework to compare
    with: the graph is checked by ONNX itself and run once.

    Raises:
        MissingFileError: no such file.
        MissingExtraError: what reads this kind of file is not installed.
        BadGraphError: not a usable network.
        ParityError: framework and graph differ by more than the tolerance.
    """
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
        height, width = options.size_hw or spec.input.shape[2:]
        sizes = (options.batch or spec.input.shape[0], spec.input.shape[1], height, width)
        spec = replace(spec, input=replace(spec.input, shape=sizes))
    key = _key(files.sha256(path), spec, options)
    if (kept := Artifact.kept(out, key)) is not None:
        return kept
    manifest = Manifest("float", spec, key, artifact.now(), machine.describe(), source=f"{path.name}")
    if is_onnx:
        return onnx_file.export(path, manifest, out)
    checkpoint.require_torch("export of TorchScript")
    network = onnx_file.load_torchscript(path)

    def keep_script(folder: Path) -> None:
        shutil.copyfile(path, folder / "model.pt")

    example = options.size_hw or (512, 512)
    return _export_module(network, manifest, options, example, keep_script, out)


def is_file_name(name: str) -> bool:
    """Whether `export_file` reads it; other names are those of zoo models."""
    path = Path(name)
    return path.suffix in _SUFFIXES or tensorflow_source.is_tensorflow(path)


def _export_module(
    network: nn.Module,
    manifest: Manifest,
    options: ExportOptions,
    example_size_hw: tuple[int, int],
    keep: Callable[[Path], None],
    out: Path,
) -> Artifact:
    """Export, check, compare with the framework at several shapes, and only then write."""
    import onnx

    spec = manifest.spec
    model, exporter = to_onnx(
        network, spec.input, spec.output.name, example_size_hw, opset=options.opset, exporter=options.exporter
    )
    onnx_file.check(model, "the exported graph")
    serialised = model.SerializeToString()
    run_graph = onnx_file.runner(serialised, spec.input.name)
    shapes = _parity_shapes(spec.input, example_size_hw)
    inputs = [parity.image_like(shape, _SEED) for shape in shapes]
    record = parity.check(
        lambda feed: _run_torch(network, feed),
        run_graph,
        inputs,
        options.tolerance,
        lambda feed: _run_exact(network, feed),
    )
    outputs = [run_graph(feed).shape for feed in inputs]
    onnx_file.check_classes(spec, outputs[0])
    spec = replace(spec, output=_output(spec.output, spec.input, outputs))
    with artifact.writing(out) as draft:
        files.write_bytes(draft.folder / "model.onnx", serialised)
        keep(draft.folder)
        notes = (
            f"exported by torch's {exporter} exporter, opset {model.opset_import[0].version}, onnx {onnx.__version__}",
        )
        draft.finish(replace(manifest, spec=spec, parity=record, passes=notes))
    return Artifact.open(out)


def _run_torch(network: Any, feed: parity.F32) -> parity.F32:
    import torch

    with torch.inference_mode():
        output: parity.F32 = network(torch.from_numpy(feed)).numpy()
    return output


def _run_exact(network: Any, feed: parity.F32) -> parity.Outputs:
    """The network in float64; a copy, because a module is converted in place."""
    import copy

    import torch

    with torch.inference_mode():
        output: parity.Outputs = copy.deepcopy(network).double()(torch.from_numpy(feed).double()).numpy()
    return output


def _network_options(plugin: Any, entry: ZooEntry, state: dict[str, Any]) -> Any:
    """The entry's options, with the variants (bias, upsampling) that the weights themselves tell."""
    try:
        options = plugin.Options(**entry.options)
    except TypeError as error:
        raise BadConfigError(f"zoo entry {entry.spec.name}: options of network {entry.network!r}: {error}") from None
    told = plugin.options_from_state(plugin.clean(state), options) if hasattr(plugin, "options_from_state") else options
    classes = getattr(told, "classes", len(entry.spec.labels))
    if entry.spec.task == "segmentation" and classes != len(entry.spec.labels):
        raise BadCheckpointError(
            f"these weights tell {classes} classes apart, {entry.spec.name} has {len(entry.spec.labels)} "
            f"({', '.join(entry.spec.labels[:5])}). Is this checkpoint of another model?"
        )
    return told


def _input(spec: TensorSpec, options: ExportOptions, multiple: int) -> TensorSpec:
    """The zoo's input with the sizes that were asked to be open or fixed."""
    lowest = -(-max(options.side.min, multiple) // multiple) * multiple
    highest = options.side.max // multiple * multiple
    height: int | Dim = Dim("H", lowest, highest, multiple)
    width: int | Dim = Dim("W", lowest, highest, multiple)
    if options.size_hw is not None:
        height, width = options.size_hw
        if height % multiple or width % multiple:
            raise BadShapeError(
                f"this network's height and width must be multiples of {multiple}, got {height}×{width}."
            )
    batch: int | Dim = options.batch or Dim("N", 1, options.largest_batch)
    return replace(spec, shape=(batch, spec.shape[1], height, width))


def _parity_shapes(spec: TensorSpec, example_size_hw: tuple[int, int]) -> list[tuple[int, ...]]:
    """The example's shape, and where sizes are open a smaller and a wider one with more images."""
    batch, channels, height, width = spec.shape
    size_of = {"H": example_size_hw[0], "W": example_size_hw[1]}

    def near(size: int | Dim, wanted: int) -> int:
        if isinstance(size, int):
            return size
        return min(max(wanted // size.multiple * size.multiple, size.min), size.max)

    def shape(images: int, share_h: float, share_w: float) -> tuple[int, ...]:
        assert isinstance(channels, int)
        h, w = near(height, int(size_of["H"] * share_h)), near(width, int(size_of["W"] * share_w))
        return (batch if isinstance(batch, int) else images, channels, h, w)

    return list(dict.fromkeys([shape(1, 1.0, 1.0), shape(2, 0.53, 0.71)]))


def _output(spec: TensorSpec, input_spec: TensorSpec, seen: list[tuple[int, ...]]) -> TensorSpec:
    """The output's shape as it was seen: fixed where it never changed although the input did, else open."""
    first = seen[0]
    sizes: list[int | Dim] = []
    for axis, size in enumerate(first):
        source = input_spec.shape[axis]
        if isinstance(source, int) or axis == 1:
            sizes.append(size)
        else:
            sizes.append(Dim(source.name if axis == 0 else f"{source.name}_out", 1, source.max))
    return replace(spec, shape=tuple(sizes))


def _key(source_sha256: str, spec: ModelSpec, options: ExportOptions) -> str:
    parts = (
        source_sha256,
        codec.to_json(spec),
        codec.to_json(options),
        machine.versions(("densecast", "torch", "onnx")),
    )
    return files.sha256_text(repr(parts))
