"""Hands a model over to other software: a file with pixels in and the answer out, and what the software needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import densecast
from densecast.artifact import Artifact, CompiledArtifact
from densecast.errors import UnknownNameError, UsageError
from densecast.io import codec, files, own_folders, temporaries
from densecast.results.handover import Agreement, ExportToResult
from densecast.spec import precision as precisions
from densecast.spec.choices import checked
from densecast.spec.data_options import Data
from densecast.spec.handover_options import RECEIVERS, TENSORRT, ExportToOptions, Receiver, is_name
from densecast.spec.model import ModelSpec
from densecast.spec.options import QuantizeOptions
from densecast.spec.tensor import TensorSpec
from densecast.verbs.builder.calibration import Progress
from densecast.verbs.export_to import agreement, facts, folding, model_file, readme, receivers
from densecast.verbs.export_to.model_file import Facts, Fold, Format

__all__ = ["RECORD", "ExportToOptions", "ExportToResult", "export_to"]

RECORD = "handover.json"
README = "README.md"


@checked
def export_to(
    receiver: Receiver | str,
    artifact: Artifact | Path | str,
    out: Path | str,
    options: ExportToOptions = ExportToOptions(),
    *,
    data: Path | str | Data | None = None,
    progress: Progress | None = None,
) -> ExportToResult:
    """Write `artifact` to the folder `out` as `receiver` reads it, and compare what was written with the artifact.

    `data` is where calibration images come from: for TensorRT's int8 alone. An earlier export of this model at `out` is
    replaced, as long as nobody has changed it; anything else is left alone.

    Raises:
        UsageError: a receiver that has nothing for the model's task, sizes or engine; or `out` holds something else.
        BadGraphError: the graph cannot be had in this form.
        ParityError: what was written answers something else.
    """
    known = next((each for each in RECEIVERS if each == receiver), None)
    if known is None:
        raise UnknownNameError.among("receiver", receiver, RECEIVERS)
    source = artifact if isinstance(artifact, Artifact) else Artifact.open(artifact)
    target = files.given(out)
    _refuse_foreign(target, source, known, options.name or source.spec.name)
    _refuse_idle(known, options, data)
    folding.check(source.spec, known)
    form = model_file.chosen_format(source, known, options)
    spec = folding.sized(source.spec, known, options)
    pixels = None if known == "model-api" else folding.pixels(spec, known, options)
    fold = Fold(spec, pixels, folding.ending(spec, known))
    name = options.name or spec.name
    if not is_name(name):
        raise UsageError(f"{name!r} cannot be a folder at a server: name the model with --name.", field="name")
    with files.new_folder(target) as folder:
        path = folder / receivers.model_path(known, name, form)
        path.parent.mkdir(parents=True, exist_ok=True)
        told, colour = facts.of(source, fold, known, options), folding.input_colour(spec, known, options)
        if known == TENSORRT:
            place = Path(data) if isinstance(data, str) else data
            agreed = _typed(source, fold, options, told, path, colour, place, progress)
        else:
            model_file.write(source, fold, form, told, path)
            agreed = agreement.check(source, fold, form, path, colour)
        result = replace(
            _told(source, known, fold, form, options, agreed),
            folder=str(out),
            model_file=str(path.relative_to(folder)),
        )
        return _finish(result, source, fold, form, folder)


def _typed(
    source: Artifact,
    fold: Fold,
    options: ExportToOptions,
    told: Facts,
    path: Path,
    colour: str,
    data: Path | Data | None,
    progress: Progress | None,
) -> Agreement:
    """Write TensorRT's graph, and compare it on pictures that its ranges were made for."""
    from densecast.verbs.export_to import tensorrt

    made = tensorrt.typed(source, fold, options, data, progress)
    model_file.write_onnx(made.model, told, path)
    kind = precisions.parse(options.precision or "int8")
    return agreement.check(source, fold, "onnx", path, colour, precision=kind, images=made.images)


def _told(
    source: Artifact, receiver: Receiver, fold: Fold, form: Format, options: ExportToOptions, agreed: Agreement
) -> ExportToResult:
    """What is told of the written model, without its place and its files."""
    spec = fold.spec
    inputs, outputs = _tensors(spec, fold, options)
    licence = facts.licence(source, options)
    is_ours = fold.pixels is not None or receiver == "model-api"
    return ExportToResult(
        receiver=receiver,
        model=spec.name,
        name=options.name or spec.name,
        folder="",
        model_file="",
        inputs=inputs,
        outputs=outputs,
        input_colour=folding.input_colour(spec, receiver, options) if is_ours else folding.network_colour(spec),
        resize=folding.resize_words(spec),
        precision=facts.precision(source, receiver, options),
        agreement=agreed,
        source=source.identity,
        version=densecast.__version__,
        licence=licence,
        remarks=tuple(_remarks(source, receiver, form, spec, licence)),
    )


def _finish(result: ExportToResult, source: Artifact, fold: Fold, form: Format, folder: Path) -> ExportToResult:
    """Write what the receiver needs beside the model, the README and the record."""
    (receiver,) = (each for each in RECEIVERS if each == result.receiver)
    told = facts.settings(source) if form == "openvino" else {}
    tensors = (result.inputs, result.outputs)
    handed = receivers.Handed(result.name, fold.spec, *tensors, form, told, result.licence, result.precision)
    texts = receivers.files_for(receiver, handed) | {README: readme.text(result, receiver, fold.spec, handed)}
    for place, text in texts.items():
        files.write_text(folder / place, text)
    paths = sorted(each for each in folder.rglob("*") if each.is_file())
    result = replace(result, files={str(each.relative_to(folder)): files.sha256(each) for each in paths})
    files.write_text(folder / RECORD, codec.to_json(result))
    return result


def _refuse_foreign(target: Path, source: Artifact, receiver: Receiver, name: str) -> None:
    """Refuse to replace anything but an earlier export of this model for this receiver, as it was written.

    Raises:
        UsageError: something else is there.
    """
    own_folders.refuse_inside(target, source.folder)
    if (target / RECORD).is_file():
        there = own_folders.replaceable(target, RECORD)
        if (there.get("receiver"), there.get("name")) != (receiver, name):
            raise UsageError(
                f"{target} holds {there.get('name')} for {there.get('receiver')}, not {name} for {receiver}. Name "
                "another folder, or remove it first.",
                field="out",
            )
        return
    if not target.exists():
        return
    if not target.is_dir() or any(not temporaries.is_temporary(each.name) for each in target.iterdir()):
        raise UsageError(f"{target} exists, and no export wrote it. Name another folder.", field="out")


def _refuse_idle(receiver: Receiver, options: ExportToOptions, data: object) -> None:
    """Refuse options that have no effect.

    Raises:
        UsageError: names the first one.
    """
    if receiver != TENSORRT:
        if options.precision is not None:
            raise UsageError(
                f"{receiver} gets the artifact's own precision: leave it out, and build the one you want.",
                field="precision",
            )
        if data is not None or options.quantize != QuantizeOptions():
            raise UsageError(f"calibration is for {TENSORRT}: leave it out, and build int8 first.", field="data")
    if receiver == "model-api" and options.layout != "nhwc":
        raise UsageError("Model API lays images out itself: leave it out.", field="layout")


def _tensors(
    spec: ModelSpec, fold: Fold, options: ExportToOptions
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The written model's inputs and outputs."""
    image, ending = spec.input, fold.ending
    batch, channels, height, width = image.shape
    if fold.pixels is not None:
        sizes = (batch, height, width, channels) if options.layout == "nhwc" else image.shape
        image = TensorSpec("image", "uint8", sizes)
    outputs = list(spec.outputs)
    if ending is not None:
        planes = 2 if ending.kind == "planes" and ending.limits else len(spec.labels)
        has_channel = ending.kind in ("above", "planes") and not ending.drops_channel
        shape = (batch, *([planes] if has_channel else []), height, width)
        outputs[0] = TensorSpec(ending.name, ending.dtype, shape)
    return (image,), tuple(outputs)


def _remarks(source: Artifact, receiver: Receiver, form: Format, spec: ModelSpec, licence: str | None) -> list[str]:
    """What is not equal to densecast's own answers, or unknown."""
    told = []
    if licence is None:
        told.append("no licence is stated: name it with --licence before the model is given away")
    if folding.ending(spec, receiver) is None:
        told.append(f"the network's maps come out: what {spec.task} makes of them is no part of a graph")
    elif receiver != "model-api":
        told.append("the answer is at the network's size: bring it to the image's own, without what surrounds it")
    if receiver == "model-api":
        told.append(
            "images are resized by OpenVINO and labels by nearest neighbour from the network's size: not equal to "
            "densecast's own labels"
        )
    if receiver == TENSORRT:
        told.append("not run on TensorRT: checked as ONNX, and run on this CPU for its accuracy")
    if receiver == "ovms":
        told.append("a JPEG that the server decodes is resized by the server, and not as the model declares")
    engine = source.manifest.build.backend if isinstance(source, CompiledArtifact) else "onnxruntime"
    if form == "openvino" and engine != "openvino":
        told.append("written for OpenVINO from an ONNX graph: the numbers are OpenVINO's")
    if form == "openvino" and receiver == "triton":
        told.append("Triton passes no precision hint on: on CPUs with 16-bit types float32 layers may run in those")
    return told
