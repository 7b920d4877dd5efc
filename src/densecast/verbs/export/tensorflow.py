"""Exports a TensorFlow graph: converts it, separates the network, compares it with TensorFlow."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast import artifact
from densecast.artifact import FloatArtifact, FloatManifest, ParityRecord, WeightsRecord
from densecast.errors import BadConfigError, BadGraphError, MissingFileError
from densecast.io import codec, files
from densecast.runtime import machine
from densecast.spec.model import ModelSpec
from densecast.spec.shapes import check_resize
from densecast.spec.tensor import Feeds
from densecast.spec.verb_options import ExportOptions
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import foreign, graph_sizes, onnx_file, parity, tensorflow_labels, tensorflow_source
from densecast.verbs.export.tensorflow_prefix import F32, Bytes
from densecast.verbs.export.tensorflow_separate import Separated, separate
from densecast.verbs.export.tensorflow_source import Conversion
from densecast.zoo._base import TensorFlowGraph

_SEED = 20
_SIDE = 320
_TWO = 2


def export(
    path: Path,
    spec: ModelSpec,
    out: Path,
    options: ExportOptions,
    names: TensorFlowGraph | None = None,
) -> FloatArtifact:
    """Export a frozen graph (`.pb`, or an archive with one) or a SavedModel folder to a float artifact at `out`.

    With `names` `spec` says all that the graph does to images, and is held against it; without, names come from
    `options`, and what the graph does is measured and declared.

    Raises:
        BadConfigError: it is for another task than segmentation.
        MissingExtraError: TensorFlow or tf2onnx is not installed.
        BadGraphError: not a usable graph, or built in another way than one image in and one class a pixel out.
        ParityError: TensorFlow and the separated graph differ by more than the tolerance.
    """
    if not isinstance(spec.decode, SegmentationDecode):
        raise BadConfigError(f"TensorFlow graphs are imported for segmentation, not for {spec.task}.", field="task")
    tensorflow_source.require_tensorflow()
    if not foreign.is_inside():
        return _confined(path, spec, out, options, names)
    with tensorflow_source.opened(path, names.member if names else None) as source:
        digest = tensorflow_source.sha256(path)
        key = _key(digest, spec, options)
        with tempfile.TemporaryDirectory() as scratch:
            conversion = Conversion(Path(scratch), str(path))
            reply = conversion.run(
                task="convert",
                graph=str(files.real(source)),
                input=options.input_name or (names.input if names else None),
                output=options.output_name or (names.output if names else None),
                opset=options.opset,
            )
            converted = onnx_file.read(conversion.folder / "graph.onnx")
            separated = separate(converted, spec, options, declared=names is not None)
            serialised = separated.model.SerializeToString()
            onnx_file.check(separated.model, "the separated graph")
            record, equal = _compare(conversion, separated, reply, options.tolerance)
            made, notes = _fitted(separated, serialised, options)
            versions = ", ".join(f"{name} {version}" for name, version in reply["versions"].items())
            with artifact.writing(out) as draft:
                files.write_bytes(draft.folder / "model.onnx", serialised)
                shutil.copyfile(conversion.folder / "graph.pb", draft.folder / "graph.pb")
                manifest = FloatManifest(made, key, artifact.now(), machine.describe(), source=path.name)
                draft.finish(
                    replace(
                        manifest,
                        weights=WeightsRecord(path.name, digest, reply["constants"]),
                        parity=record,
                        passes=(f"converted by {versions}, opset {options.opset}", *reply["notes"], *notes),
                        measurements={"labels_equal_to_tensorflow": equal},
                    )
                )
    return FloatArtifact.open(out)


def _fitted(separated: Separated, serialised: bytes, options: ExportOptions) -> tuple[ModelSpec, tuple[str, ...]]:
    """The spec with the sizes that the separated graph takes and the outputs that it has, and notes on all of it."""
    where = "the separated graph"
    fitted, notes = graph_sizes.fit(separated.spec, onnx_file.graph_runner(serialised), separated.model, where)
    check_resize(fitted.input, fitted.preprocess, fitted.slide)
    unnamed = replace(options, output_name=None)
    described, selection, fitted = onnx_file.outputs_of(serialised, fitted, unnamed, where, separated.model)
    return replace(fitted, outputs=described), (*separated.notes, *notes, *filter(None, (selection.note,)))


def _confined(
    path: Path, spec: ModelSpec, out: Path, options: ExportOptions, names: TensorFlowGraph | None
) -> FloatArtifact:
    """The artifact that is there already, or the export in a confined process."""
    if not (path.is_file() or path.is_dir()):
        raise MissingFileError.at(path)
    key = _key(tensorflow_source.sha256(path), spec, options)
    existing = FloatArtifact.existing(out, key)
    return existing or foreign.export(path, spec, out, options, key, names=names)


def _compare(
    conversion: Conversion, separated: Separated, reply: dict[str, Any], tolerance: float
) -> tuple[ParityRecord | None, float]:
    """Compare TensorFlow's own logits and labels of two images with those of the separated graph.

    Conversion may have fused the operator away that gives the logits; then the labels alone are compared.

    Raises:
        ParityError: they differ by more than is allowed.
    """
    images = [_test_image(index, size_hw) for index, size_hw in enumerate(_image_sizes(separated))]
    feeds = {f"image_{index}": _for_tensorflow(each, separated)[None] for index, each in enumerate(images)}
    np.savez(conversion.folder / "inputs.npz", **feeds)  # type: ignore[arg-type]  # might be `allow_pickle`, says the stub
    answered = conversion.run(task="run", input=reply["input"], output=reply["output"], logits=separated.logits)
    with np.load(conversion.folder / "outputs.npz") as stored:
        answers = {name: stored[name] for name in stored.files}
    prepared = [tensorflow_labels.for_network(each, separated) for each in images]
    record: ParityRecord | None = None
    if answered["logits"]:
        spec = separated.spec
        feeds_of_network: list[Feeds] = [{spec.input.name: array} for array in prepared]
        expected: dict[int, Feeds] = {
            id(feed): {spec.output.name: _channels_first(answers[f"image_{index}_logits"], separated)}
            for index, feed in enumerate(feeds_of_network)
        }
        record = parity.check(
            lambda feed: expected[id(feed)],
            onnx_file.graph_runner(separated.frozen.SerializeToString()),
            feeds_of_network,
            tolerance,
        )
    equal = tensorflow_labels.check(separated, images, [answers[f"image_{index}"] for index in range(len(images))])
    return record, equal


def _image_sizes(separated: Separated) -> list[tuple[int, int]]:
    """A portrait and a landscape size if the graph accepts both, else its fixed size."""
    if separated.frozen_hw is None:
        return [(_SIDE, _SIDE * 3 // 2), (_SIDE, _SIDE // 2)]
    height, width = separated.frozen_hw
    if separated.prefix is None or separated.prefix.size_hw is None:
        return [(height, width)]
    return [(height * 3 // 4, width), (height, width * 2 // 3)]


def _test_image(index: int, size_hw: tuple[int, int]) -> Bytes:
    """An (H, W, 3) test image: smooth fields with edges and noise over the whole range of bytes."""
    planes = parity.image_like((3, *size_hw), _SEED + index)
    return np.asarray(np.clip(planes * 64 + 128, 0, 255).transpose(1, 2, 0), dtype=np.uint8)


def _for_tensorflow(image: Bytes, separated: Separated) -> npt.NDArray[Any]:
    """(H, W, 3) as input of the original graph: bytes, or floats as it is to be fed."""
    if separated.dtype == "uint8":
        return image
    fed = separated.fed
    pixels = image[:, :, ::-1] if fed.colour == "BGR" else image
    mean, std = (np.asarray(values, dtype=np.float32) for values in (fed.mean, fed.std))
    return np.asarray((pixels / np.float32(fed.divisor) - mean) / std, dtype=np.float32)


def _channels_first(logits: npt.NDArray[Any], separated: Separated) -> F32:
    """TensorFlow's logits with their channels before the rows.

    Raises:
        BadGraphError: they have another number of channels than there are labels.
    """
    classes = len(separated.spec.labels)
    # Two labels may be one plane.
    fitting = {classes, 1 if classes == _TWO else classes}
    if logits.ndim == 4 and logits.shape[3] in fitting:
        logits = logits.transpose(0, 3, 1, 2)
    elif logits.ndim == 4 and logits.shape[1] not in fitting:
        raise BadGraphError(
            f"{separated.spec.name}: the graph gives {logits.shape[3]} classes a pixel, and {classes} labels are named."
        )
    return np.asarray(logits, dtype=np.float32)


def _key(source_sha256: str, spec: ModelSpec, options: ExportOptions) -> str:
    versions = machine.versions(("densecast", "tensorflow-cpu", "tensorflow", "tf2onnx", "onnx"))
    return files.sha256_text(repr((source_sha256, codec.to_json(spec), codec.to_json(options), versions)))
