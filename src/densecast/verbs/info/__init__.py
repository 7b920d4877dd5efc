"""Tells what a model is - tensors, layers, parameters, precision, origin - of an artifact, a file or a zoo name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from densecast.artifact import MANIFEST, Artifact, CompiledArtifact, FloatArtifact
from densecast.backends._base import BACKENDS, ListsLayers
from densecast.errors import DensecastError, UsageError
from densecast.graph import _layers as graph_layers
from densecast.io import codec, files
from densecast.results.info import ModelInfo, TensorText
from densecast.spec.layer import total_macs
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import TensorSpec
from densecast.verbs.export import is_file_name, sources
from densecast.verbs.info import files_info
from densecast.zoo._base import ZOO, ZooEntry

__all__ = ["ModelInfo", "info"]

_SIDE = 512


def info(source: Path | str | Artifact, *, size_hw: tuple[int, int] | None = None) -> ModelInfo:
    """What a model is: an artifact, or a file or name that `densecast.export` takes, or weights.

    Nothing of a foreign file is run; it is read in a confined process. Multiplications are counted for one image of
    `size_hw` pixels, as the network sees it; by default 512×512 or the nearest that it takes.

    Raises:
        MissingFileError, UnknownNameError: there is no such thing.
        BadArtifactError, BadGraphError, BadCheckpointError: it is damaged, or of no known kind.
        BadShapeError: the network does not take this size.
        MissingExtraError: what reads this kind of file is not installed.
    """
    if isinstance(source, Artifact):
        return _of_artifact(source, size_hw)
    if isinstance(source, str) and source in ZOO.names():
        return _of_entry(ZOO.load(source), size_hw)
    path = files.given(source)
    if (path / MANIFEST).is_file():
        return _of_artifact(Artifact.open(path), size_hw)
    if path.is_dir() and not is_file_name(str(path)):
        return _of_artifact(Artifact.open(path), size_hw)  # says what it lacks
    if not path.exists() and isinstance(source, str) and not is_file_name(source):
        sources.named(source)  # says what there is
    return files_info.of_file(path, size_hw)


def _of_artifact(opened: Artifact, size_hw: tuple[int, int] | None) -> ModelInfo:
    spec, manifest = opened.spec, opened.manifest
    known = _of_spec(spec)
    origin = {"source": manifest.source, "created": manifest.created}
    if manifest.weights is not None:
        origin["weights"] = f"{manifest.weights.file}, sha256 {manifest.weights.sha256[:12]}"
    origin["machine"] = f"{manifest.machine.cpu}, {manifest.machine.system}"
    origin["versions"] = ", ".join(f"{name} {version}" for name, version in manifest.machine.packages.items())
    known = replace(known, path=str(opened.folder), size_bytes=opened.size_bytes, origin=origin)
    notes = manifest.passes
    if isinstance(opened, FloatArtifact):
        import onnx

        parity = opened.manifest.parity
        if parity is not None:
            origin["parity"] = f"{parity.relative_error:.1e} of the largest output of the framework"
        model = onnx.load(opened.file("model.onnx"))
        return files_info.with_layers(
            replace(known, kind="exported artifact", notes=notes), model, spec.inputs, size_hw, side=_SIDE
        )
    assert isinstance(opened, CompiledArtifact)
    built = opened.manifest
    known = replace(
        known,
        kind="built artifact",
        asked=built.precision_asked,
        ran=str(built.precision_ran),
        backend=built.build.backend,
        notes=(*notes, *([f"fell back: {built.fallback}"] if built.fallback else [])),
    )
    if built.parent_name:
        origin["built from"] = built.parent_name
    if built.calibration is not None:
        origin["calibration"] = f"{built.calibration.count} images, {built.calibration.source}"
    shape = _shape(spec.input, size_hw)
    backend: object = BACKENDS.load(built.build.backend)
    if not isinstance(backend, ListsLayers):
        return known
    try:
        layers = backend.layers(opened, shape)
    except DensecastError as error:  # the engine may be on another machine
        return replace(known, notes=(*known.notes, f"its layers cannot be listed here: {error}"))
    parameters = sum(layer.parameters for layer in layers)
    return replace(known, layers=layers, parameters=parameters, macs=total_macs(layers), at_shape=shape)


def _of_entry(entry: ZooEntry, size_hw: tuple[int, int] | None) -> ModelInfo:
    if size_hw is not None:
        raise UsageError("a size has no effect on a name of the zoo: export it first.", field="size_hw")
    checkpoint = entry.checkpoint
    origin = {"summary": entry.summary, "licence": entry.licence, "weights": checkpoint.file}
    origin["weights are"] = "part of the package" if checkpoint.shipped else "fetched when exported"
    origin |= {
        f"published {score.metric} ({score.precision})": f"{score.value:g}, {score.count} images, {score.source}"
        for score in entry.published
    }
    notes = ("layers and parameters are known once it is exported",)
    return replace(_of_spec(entry.spec), path=entry.spec.name, kind="zoo model", origin=origin, notes=notes)


def _of_spec(spec: ModelSpec) -> ModelInfo:
    preprocess: dict[str, Any] = codec.to_plain(spec.preprocess)
    return ModelInfo(
        "",
        "",
        spec.name,
        spec.task,
        tuple(_text(tensor) for tensor in spec.inputs),
        tuple(_text(tensor) for tensor in spec.outputs),
        spec.labels,
        preprocess,
    )


def _text(tensor: TensorSpec) -> TensorText:
    return TensorText(
        tensor.name, tensor.dtype, tuple(size if isinstance(size, int) else str(size) for size in tensor.shape)
    )


def _shape(tensor: TensorSpec, size_hw: tuple[int, int] | None) -> tuple[int, ...]:
    return graph_layers.shape_at(tensor, size_hw, _SIDE)
