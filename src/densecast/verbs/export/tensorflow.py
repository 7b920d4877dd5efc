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
from densecast.errors import BadConfigError, MissingFileError, ParityError
from densecast.imaging.prepare import prepare
from densecast.io import codec, files
from densecast.kernels.labels import upsample_argmax
from densecast.runtime import machine
from densecast.spec.geometry import Placement
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Native
from densecast.spec.sample import LabelMap
from densecast.spec.shapes import check_resize
from densecast.spec.tensor import Feeds
from densecast.spec.verb_options import ExportOptions
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import foreign, graph_sizes, onnx_file, parity, tensorflow_source
from densecast.verbs.export.tensorflow_prefix import F32, Bytes
from densecast.verbs.export.tensorflow_separate import Separated, separate
from densecast.verbs.export.tensorflow_source import Conversion
from densecast.zoo._base import TensorFlowGraph

# Of the labels, this share must be those of the untouched graph; the others are pixels between two classes whose
# logits are equal up to rounding.
LEAST_EQUAL = 0.999
_SEED = 20
_SIDE = 320


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
            record, equal = _compare(conversion, separated, spec, reply, options.tolerance)
            fitted, size_notes = _fitted(separated.spec, serialised, separated)
            described, _, _ = onnx_file.outputs_of(
                serialised, fitted, replace(options, output_name=None), "the separated graph"
            )
            versions = ", ".join(f"{name} {version}" for name, version in reply["versions"].items())
            with artifact.writing(out) as draft:
                files.write_bytes(draft.folder / "model.onnx", serialised)
                shutil.copyfile(conversion.folder / "graph.pb", draft.folder / "graph.pb")
                made = replace(fitted, outputs=described)
                manifest = FloatManifest(made, key, artifact.now(), machine.describe(), source=path.name)
                draft.finish(
                    replace(
                        manifest,
                        weights=WeightsRecord(path.name, digest, reply["constants"]),
                        parity=record,
                        passes=(f"converted by {versions}, opset {options.opset}", *separated.notes, *size_notes),
                        measurements={"labels_equal_to_tensorflow": equal},
                    )
                )
    return FloatArtifact.open(out)


def _fitted(spec: ModelSpec, serialised: bytes, separated: Separated) -> tuple[ModelSpec, tuple[str, ...]]:
    """The spec with the sizes that the separated graph really takes, checked against the resize."""
    found = graph_sizes.fit(spec, onnx_file.graph_runner(serialised), separated.model, "the separated graph")
    check_resize(found[0].input, found[0].preprocess, found[0].slide)
    return found


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
    conversion: Conversion, separated: Separated, declared: ModelSpec, reply: dict[str, Any], tolerance: float
) -> tuple[ParityRecord | None, float]:
    """Compare TensorFlow's own logits and labels of two images with those of the separated graph.

    Conversion may have fused the operator away that gives the logits; then the labels alone are compared.

    Raises:
        ParityError: they differ by more than is allowed.
    """
    images = [_test_image(index, size_hw) for index, size_hw in enumerate(_image_sizes(separated))]
    feeds = {f"image_{index}": _for_tensorflow(each, separated, declared)[None] for index, each in enumerate(images)}
    np.savez(conversion.folder / "inputs.npz", **feeds)  # type: ignore[arg-type]  # might be `allow_pickle`, says the stub
    answered = conversion.run(task="run", input=reply["input"], output=reply["output"], logits=separated.logits)
    with np.load(conversion.folder / "outputs.npz") as stored:
        answers = {name: stored[name] for name in stored.files}
    frozen = separated.frozen.SerializeToString()
    run_graph = onnx_file.runner(frozen, separated.spec.input.name)
    prepared = [_for_network(each, separated) for each in images]
    record: ParityRecord | None = None
    if answered["logits"]:
        spec = separated.spec
        feeds_of_network: list[Feeds] = [{spec.input.name: array} for array in prepared]
        expected: dict[int, Feeds] = {
            id(feed): {spec.output.name: _channels_first(answers[f"image_{index}_logits"], separated)}
            for index, feed in enumerate(feeds_of_network)
        }
        record = parity.check(
            lambda feed: expected[id(feed)], onnx_file.graph_runner(frozen), feeds_of_network, tolerance
        )
    equal, total = 0, 0
    for index, (image, feed) in enumerate(zip(images, prepared, strict=True)):
        expected_labels = _labels(answers[f"image_{index}"])
        labels = _decoded(run_graph(feed)[0], feed, image, expected_labels.shape, separated.spec)
        equal, total = equal + int((labels == expected_labels).sum()), total + labels.size
    if equal < LEAST_EQUAL * total:
        raise ParityError(
            f"{1 - equal / total:.2%} of the labels are not those of the untouched graph in TensorFlow; "
            f"at most {1 - LEAST_EQUAL:.1%} may be between two classes whose logits are equal up to rounding."
        )
    return record, equal / total


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


def _for_tensorflow(image: Bytes, separated: Separated, declared: ModelSpec) -> npt.NDArray[Any]:
    """(H, W, 3) as input of the original graph: bytes, or floats normalised as the user says."""
    if separated.dtype == "uint8":
        return image
    pixels = image[:, :, ::-1] if declared.preprocess.colour == "BGR" else image
    mean, std = (np.asarray(values, dtype=np.float32) for values in (declared.preprocess.mean, declared.preprocess.std))
    return np.asarray((pixels / np.float32(declared.preprocess.divisor) - mean) / std, dtype=np.float32)


def _for_network(image: Bytes, separated: Separated) -> F32:
    """(1, 3, h, w) as input of the separated network, the image at its own size."""
    own = separated.prefix.preprocess.resize if separated.prefix else None
    unresized = replace(separated.spec.preprocess, resize=own or Native())
    array, placement = prepare(image, unresized)
    assert placement.content_hw == image.shape[:2], "the images are as large as fits"
    return np.asarray(array, dtype=np.float32)[None]


def _channels_first(logits: npt.NDArray[Any], separated: Separated) -> F32:
    classes = len(separated.spec.labels)
    if logits.ndim == 4 and logits.shape[3] == classes:
        logits = logits.transpose(0, 3, 1, 2)
    return np.asarray(logits, dtype=np.float32)


def _labels(answer: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """(1, H, W) labels, or the class of the largest of (1, H, W, C) scores -> (H, W)."""
    answer = np.squeeze(answer, axis=0)
    if answer.ndim == 3 and answer.shape[2] == 1:
        answer = answer[:, :, 0]
    return np.asarray(answer.argmax(axis=2) if answer.ndim == 3 else answer, dtype=np.uint16)


def _decoded(logits: F32, feed: F32, image: Bytes, labels_hw: tuple[int, ...], spec: ModelSpec) -> LabelMap:
    """Labels by the declared postprocessing, at the size of the original graph's."""
    assert isinstance(spec.decode, SegmentationDecode), "checked on the way in"
    model_hw = (feed.shape[2], feed.shape[3])
    placement = Placement.resized(image.shape[:2], image.shape[:2], model_hw=model_hw)
    crop_hw = placement.content_hw if labels_hw == placement.content_hw and placement.is_padded else None
    size_hw = model_hw if labels_hw in (model_hw, placement.content_hw) else (labels_hw[0], labels_hw[1])
    return upsample_argmax(logits, [size_hw], align_corners=spec.decode.align_corners, crop_hw=crop_hw)


def _key(source_sha256: str, spec: ModelSpec, options: ExportOptions) -> str:
    versions = machine.versions(("densecast", "tensorflow-cpu", "tensorflow", "tf2onnx", "onnx"))
    return files.sha256_text(repr((source_sha256, codec.to_json(spec), codec.to_json(options), versions)))
