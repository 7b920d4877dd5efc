"""Reads a folder that MMDeploy exported a segmentation to: `end2end.onnx`, described by `deploy.json`, `pipeline.json`.

The graph is that of the file; what is done to images before it and to its output after it is what the folder's own
`pipeline.json` says, which MMDeploy's SDK carries out. What cannot be said exactly is an error that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from densecast.datasets import _layouts
from densecast.errors import BadConfigError, MissingFileError
from densecast.io import codec
from densecast.spec.model import Evaluation
from densecast.spec.preprocess import ColourOrder, FitInto, KeepRatio, Native, Preprocess, Resize, Stretch
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import described
from densecast.verbs.export.described import Labels
from densecast.verbs.export.spec_file import SpecFile

DEPLOY, PIPELINE, DETAIL = "deploy.json", "pipeline.json", "detail.json"
_GRAPH = "end2end.onnx"
_TASKS = ("segmentor", "segmentation")
# Transforms that do nothing to the values: reading, packing, and the order of axes.
_PACKING = frozenset(
    {"LoadImageFromFile", "ImageToTensor", "DefaultFormatBundle", "Collect", "PackSegInputs", "LoadAnnotations"}
)
_KEYS = {
    "Resize": {
        "keep_ratio",
        "size",
        "scale",
        "img_scale",
        "interpolation",
        "backend",
        "ratio_range",
        "multiscale_mode",
    },
    "Normalize": {"mean", "std", "to_rgb", "to_float"},
    "Pad": {"size", "size_divisor", "pad_val", "padding_mode", "seg_pad_val", "pad_to_square"},
    "LoadImageFromFile": {"to_float32", "color_type", "channel_order", "backend_args", "imdecode_backend"},
}
# What MMDeploy adds to any transform, and what is said of files rather than of pixels.
_ALWAYS = frozenset({"type", "file_client_args", "keys", "meta_keys", "static"})
# By a word of the configuration's name, which data set its classes are of.
_DATASETS = {
    "cityscapes": "CityscapesDataset",
    "ade20k": "ADE20KDataset",
    "voc": "PascalVOCDataset",
    "pascal_context_59": "PascalContextDataset59",
    "pascal_context": "PascalContextDataset",
    "coco-stuff": "COCOStuffDataset",
    "loveda": "LoveDADataset",
    "potsdam": "PotsdamDataset",
    "vaihingen": "ISPRSDataset",
    "isaid": "iSAIDDataset",
}


def is_folder(path: Path) -> bool:
    """Whether this is a folder that MMDeploy wrote."""
    return (path / DEPLOY).is_file() and (path / PIPELINE).is_file()


def read(folder: Path, labels: Labels | None = None) -> tuple[Path, SpecFile]:
    """The graph of a folder, with its preprocessing, the form of its output, and its labels.

    Labels are those given; else the data set's whose name is in the configuration's, if there are as many; else
    `class_0`, ….

    Raises:
        MissingFileError: there is no ONNX graph.
        BadConfigError: the files say what densecast cannot do exactly, or nothing that it knows.
    """
    graph = _graph(folder)
    pipeline = folder / PIPELINE
    tasks = _table(codec.read(pipeline, dict).get("pipeline"), pipeline, "pipeline").get("tasks")
    if not isinstance(tasks, Sequence) or not all(isinstance(each, Mapping) for each in tasks):
        raise BadConfigError(f"{pipeline}: holds no list of tasks, as MMDeploy writes it.")
    nets = [each for each in tasks if str(each.get("module")) == "Net"]
    if len(nets) != 1:
        raise BadConfigError(f"{pipeline}: has {len(nets)} networks; one is exported at a time.")
    transforms = [each for task in tasks if str(task.get("module")) == "Transform" for each in task["transforms"]]
    preprocess, channels = _preprocess(transforms, pipeline)
    after = next((each for each in tasks if "component" in each), None)
    if after is None or after["component"] != "ResizeMask":
        raise BadConfigError(
            f"{pipeline}: the output is decoded by {'nothing' if after is None else after['component']}; densecast "
            "reads segmentations, decoded by ResizeMask."
        )
    params = _table(after.get("params", {}), pipeline, "params")
    decode = _decode(params)
    names, dataset = _labels(labels, params.get("num_classes"), folder)
    evaluation = Evaluation(dataset, "iou") if dataset is not None else None
    return graph, SpecFile(names, preprocess, decode=decode, channels=channels, evaluation=evaluation)


def _graph(folder: Path) -> Path:
    """The ONNX graph: the one that the description names, or the one that lies beside an engine made of it."""
    description = codec.read(folder / DEPLOY, dict)
    task = description.get("task")
    if str(task).casefold() not in _TASKS:
        raise BadConfigError(f"{folder / DEPLOY}: is of the task {task!r}; segmentations (Segmentor) are read.")
    models = description.get("models")
    if not isinstance(models, Sequence) or len(models) != 1:
        raise BadConfigError(f"{folder / DEPLOY}: must name one model, as MMDeploy writes it.")
    net = str(_table(models[0], folder / DEPLOY, "models").get("net", ""))
    graph = folder / (net if net.endswith(".onnx") else _GRAPH)
    if graph.parent != folder or not graph.is_file():
        raise MissingFileError(
            f"{folder}: there is no {graph.name}; the folder was made for {models[0].get('backend')!r}. Export it "
            "again with MMDeploy's configuration for onnxruntime."
        )
    return graph


def _preprocess(transforms: Sequence[Mapping[str, Any]], where: Path) -> tuple[Preprocess, int]:
    """The transforms as our preprocessing, and the number of channels."""
    made, channels, is_normalised = Preprocess(Native(), std=(1.0,), use_exif=True), 3, False
    for transform in transforms:
        kind = str(transform.get("type"))
        _refuse_unknown(kind, transform, where)
        if kind == "LoadImageFromFile" and transform.get("color_type") in ("grayscale", "unchanged"):
            if transform["color_type"] == "unchanged":
                raise BadConfigError(f"{where}: LoadImageFromFile with color_type 'unchanged' is not known here.")
            channels = 1
        elif kind == "Resize":
            made = replace(made, resize=_resize(transform, where))
        elif kind == "Normalize":
            colour: ColourOrder = "RGB" if transform.get("to_rgb", True) else "BGR"
            mean, std = (tuple(float(value) for value in transform[name]) for name in ("mean", "std"))
            made = replace(made, colour=colour if channels == 3 else "GRAY", mean=mean, std=std)
            is_normalised = True
        elif kind == "Pad":
            made = _padded(made, transform, where, is_normalised=is_normalised)
    if not is_normalised and channels == 3:
        made = replace(made, colour="BGR")
    return made, channels


def _refuse_unknown(kind: str, transform: Mapping[str, Any], where: Path) -> None:
    if kind not in _PACKING and kind not in _KEYS:
        raise BadConfigError(f"{where}: the transform {kind!r} is not known here. Known: {', '.join(sorted(_KEYS))}.")
    if kind in _KEYS and (unknown := sorted(set(transform) - _KEYS[kind] - _ALWAYS)):
        raise BadConfigError(f"{where}: {kind} says {unknown[0]!r}, which is not known here.")


def _resize(transform: Mapping[str, Any], where: Path) -> Resize:
    size = next((transform[name] for name in ("size", "scale", "img_scale") if transform.get(name) is not None), None)
    if size is None:
        raise BadConfigError(f"{where}: Resize says no size.")
    sides = [size, size] if isinstance(size, int) else list(size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise BadConfigError(f"{where}: Resize to {size!r} is not known here; a size is [width, height].")
    if transform.get("interpolation", "bilinear") != "bilinear":
        raise BadConfigError(f"{where}: Resize by {transform['interpolation']!r} is not known here, only bilinear.")
    if transform.get("ratio_range") is not None:
        raise BadConfigError(f"{where}: Resize with a ratio_range is at random: it is for training.")
    width, height = sides
    return KeepRatio(max(sides), min(sides)) if transform.get("keep_ratio", False) else Stretch((height, width))


def _padded(made: Preprocess, transform: Mapping[str, Any], where: Path, *, is_normalised: bool) -> Preprocess:
    """The preprocessing with padding to the right and below; a value after normalisation as the colour it means."""
    if transform.get("padding_mode", "constant") != "constant" or transform.get("pad_to_square"):
        raise BadConfigError(f"{where}: Pad to a square, or by other than a constant, is not known here.")
    value = transform.get("pad_val", 0)
    value = value.get("img", 0) if isinstance(value, Mapping) else value
    fill = tuple(float(each) for each in (value if isinstance(value, Sequence) else [value]))
    if is_normalised:
        count = len(made.mean)
        fill = tuple(
            each * std + mean for each, mean, std in zip(fill * (count // len(fill)), made.mean, made.std, strict=True)
        )
    if made.colour == "BGR":
        fill = fill[::-1]
    if transform.get("size_divisor") is not None:
        return replace(made, pad_multiple=int(transform["size_divisor"]), pad_fill=fill)
    size = transform.get("size")
    if isinstance(size, Sequence) and len(size) == 2 and isinstance(made.resize, (KeepRatio, Native)):
        target_hw = (int(size[0]), int(size[1]))
        if isinstance(made.resize, KeepRatio) and sorted(target_hw) == [made.resize.short_side, made.resize.long_side]:
            return replace(made, resize=FitInto(target_hw, fill=fill))
    raise BadConfigError(f"{where}: Pad to {size!r} after {made.resize.kind} is not known here.")


def _decode(params: Mapping[str, Any]) -> SegmentationDecode:
    """Labels by OpenCV's nearest neighbour, or logits resized bilinearly before the argmax, as the SDK does."""
    if params.get("with_argmax", True):
        return SegmentationDecode(to_image="nearest_labels", form="labels")
    return SegmentationDecode(align_corners=bool(params.get("align_corners", False)))


def _labels(labels: Labels | None, count: object, folder: Path) -> tuple[tuple[str, ...], str | None]:
    """The labels, and the data set that they are of, where it is known."""
    if labels is not None:
        names = described.labels_of(labels)
        if isinstance(count, int) and len(names) != count:
            raise BadConfigError(
                f"{folder}: tells {count} classes apart, and {len(names)} labels are given. Name all: --labels.",
                field="labels",
            )
        return names, None
    if not isinstance(count, int):
        raise BadConfigError(f"{folder}: does not say how many classes there are. Name them: --labels.", field="labels")
    detail = codec.read(folder / DETAIL, dict) if (folder / DETAIL).is_file() else {}
    codebase = detail.get("codebase")
    config = str(codebase.get("config", "")).casefold() if isinstance(codebase, Mapping) else ""
    for word, name in _DATASETS.items():
        names = _layouts.class_names(name)
        if word in config and len(names) == count:
            return names, name
    return tuple(f"class_{index}" for index in range(count)), None


def _table(value: object, where: Path, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadConfigError(f"{where}: {name!r} must be a table, as MMDeploy writes it.")
    return value
