"""Reads a whole configuration - network, test pipeline, `test_cfg`, data set - as a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from densecast.errors import BadConfigError
from densecast.networks.openmmlab import POSE_NETWORKS, SUBDIVISION
from densecast.spec.augment import Augment
from densecast.spec.model import Rgb
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.recipe import DatasetRecipe, Inference, Recipe, SlideInference, WholeInference
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export.openmmlab import data_folders, pipeline, pose, type_names

_SEGMENTORS = ("EncoderDecoder", "CascadeEncoderDecoder")
# Names that only configurations of the second generation have.
_LATER = ("data_preprocessor", "train_dataloader", "val_dataloader", "test_dataloader")
# What only training reads, wherever in a network it stands.
_TRAINING = (
    "auxiliary_head",
    "data_preprocessor",
    "init_cfg",
    "loss_decode",
    "loss_keypoint",
    "loss_pose",
    "pretrained",
    "sampler",
    "test_cfg",
    "train_cfg",
)


def read(config: Mapping[str, Any], stated: Preprocess | None = None) -> Recipe:
    """The recipe of a configuration's names; with a `stated` preprocessing its test pipeline does not matter.

    Raises:
        BadConfigError: it is of another kind of network, or says what cannot be expressed; names the key.
    """
    config = type_names.plain(config)
    model = config.get("model")
    if not isinstance(model, Mapping):
        raise BadConfigError("the configuration has no table 'model'.", field="config")
    kind = _bare(model.get("type"))
    if kind in _SEGMENTORS:
        return _segmentation(config, model, stated)
    if kind in POSE_NETWORKS:
        dataset = _test_dataset(config)
        transforms = _test_pipeline(config, dataset) if stated is None else ()
        made = pose.read(config, {**without_training(model), "type": kind}, dataset, transforms, stated)
        return replace(made, notes=(*made.notes, *_left_out(config, model)))
    raise BadConfigError(
        f"the configuration's model is of type {model.get('type')!r:.60}; densecast builds "
        f"{', '.join(_SEGMENTORS)} of MMSegmentation and {', '.join(POSE_NETWORKS)} of MMPose 0.x.",
        field="config",
    )


def _segmentation(config: Mapping[str, Any], model: Mapping[str, Any], stated: Preprocess | None) -> Recipe:
    last = deciding_head(model)
    if last is None:
        raise BadConfigError("model.decode_head must be a table, or a list of them.", field="config")
    is_later = "data_preprocessor" in model or any(name in config for name in _LATER)
    generation = 1 if is_later else 0
    dataset = _test_dataset(config)
    preprocess, augment, notes = (stated or Preprocess(Native())), Augment(), tuple[str, ...]()
    if stated is None:
        transforms = _test_pipeline(config, dataset)
        preprocess, augment, notes = pipeline.translate(transforms, _data_preprocessor(config, model, generation))
    described = _dataset(config, dataset)
    labels, palette = _described_labels(dataset)
    return Recipe(
        "mmseg",
        generation,
        _network(config, model),
        preprocess,
        _decode(last),
        _inference(model.get("test_cfg") or config.get("test_cfg")),
        augment,
        described,
        labels,
        palette,
        (*notes, *_left_out_of_masks(dataset), *_left_out(config, model)),
    )


def deciding_head(model: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The table that says the classes of a network's logits: its last head, or the one that its last head refines."""
    head: Any = model.get("decode_head")
    last = head[-1] if isinstance(head, (list, tuple)) and head else head
    if isinstance(last, Mapping) and isinstance(last.get("kernel_generate_head"), Mapping):
        last = last["kernel_generate_head"]
    return last if isinstance(last, Mapping) else None


def _bare(kind: Any) -> Any:
    return kind.rpartition(".")[2] if isinstance(kind, str) else kind


def without_training(value: Any) -> Any:
    """The value without the keys that only training reads."""
    if isinstance(value, Mapping):
        return {key: without_training(each) for key, each in value.items() if key not in _TRAINING}
    return [without_training(each) for each in value] if isinstance(value, (list, tuple)) else value


def _network(config: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """The model without what only training reads, and with what `test_cfg` says of the network itself."""
    made: dict[str, Any] = without_training(model)
    test = model.get("test_cfg") or config.get("test_cfg")
    refining = {name: test[name] for name in SUBDIVISION if name in test} if isinstance(test, Mapping) else {}
    return {**made, "test_cfg": refining} if refining else made


def _decode(head: Mapping[str, Any]) -> SegmentationDecode:
    """How the head's logits become labels; of one plane the threshold is 0.3 where none is said."""
    align = bool(head.get("align_corners", False))
    planes = head.get("out_channels")
    if (head.get("num_classes") if planes is None else planes) != 1:
        return SegmentationDecode(align_corners=align)
    threshold = head.get("threshold")
    threshold = 0.3 if threshold is None else threshold
    if not isinstance(threshold, (int, float)) or not 0 < threshold < 1:
        raise BadConfigError(f"model.decode_head.threshold = {threshold!r} is no probability.", field="config")
    return SegmentationDecode(align_corners=align, form="binary_logits", threshold=float(threshold))


def _inference(table: Any) -> Inference:
    """`test_cfg`: the whole image at once, or windows."""
    if not isinstance(table, Mapping):
        return WholeInference()
    mode = table.get("mode", "whole")
    if mode == "whole":
        return WholeInference()
    if mode != "slide":
        raise BadConfigError(f"test_cfg.mode = {mode!r} is neither 'whole' nor 'slide'.", field="config")
    return SlideInference(_pair(table, "crop_size"), _pair(table, "stride"))


def _pair(table: Mapping[str, Any], name: str) -> tuple[int, int]:
    value = table.get(name)
    sides = (value, value) if isinstance(value, int) else value
    if isinstance(sides, (list, tuple)) and len(sides) == 2 and all(isinstance(s, int) and s > 0 for s in sides):
        return (sides[0], sides[1])
    raise BadConfigError(f"test_cfg.{name} must be height and width, got {value!r:.60}.", field="config")


def _test_dataset(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table of the data set of tests, else of validation, out of what wraps it; empty where there is none."""
    data = config.get("data")
    candidates: list[Any] = [data.get("test"), data.get("val")] if isinstance(data, Mapping) else []
    for name in ("test_dataloader", "val_dataloader"):
        loader = config.get(name)
        candidates.append(loader.get("dataset") if isinstance(loader, Mapping) else None)
    tables = (data_folders.unwrapped(found) for found in candidates)
    return next((table for table in tables if table is not None), {})


def _test_pipeline(config: Mapping[str, Any], dataset: Mapping[str, Any]) -> Sequence[Any]:
    transforms = dataset.get("pipeline") or config.get("test_pipeline")
    if not isinstance(transforms, (list, tuple)):
        raise BadConfigError(
            "the configuration has no test pipeline (data.test.pipeline, test_dataloader.dataset.pipeline or "
            "test_pipeline): nothing says what is done to images.",
            field="config",
        )
    return transforms


def _data_preprocessor(
    config: Mapping[str, Any], model: Mapping[str, Any], generation: int
) -> Mapping[str, Any] | None:
    if generation == 0:
        return None
    table = model.get("data_preprocessor") or config.get("data_preprocessor")
    if not isinstance(table, Mapping):
        raise BadConfigError("the configuration has no data_preprocessor: how are images normalised?", field="config")
    return table


def _dataset(config: Mapping[str, Any], dataset: Mapping[str, Any]) -> DatasetRecipe | None:
    kind = _bare(dataset.get("type"))
    if not isinstance(kind, str):
        return None
    others = {key: value for key, value in dataset.items() if key not in ("type", "pipeline", "classes", "palette")}
    zero = dataset.get("reduce_zero_label")
    for transforms in _pipelines(config):
        for each in transforms:
            if isinstance(each, Mapping) and _bare(each.get("type")) == "LoadAnnotations" and zero is None:
                zero = each.get("reduce_zero_label")
    labels, _ = _described_labels(dataset)
    if labels is None and isinstance(_described(dataset).get("classes"), str):
        labels = ()  # in a file that lay beside the training
    zero = zero if isinstance(zero, bool) else None
    return DatasetRecipe(kind, others, labels, zero, data_folders.layout_of(config, zero))


def _pipelines(config: Mapping[str, Any]) -> list[Sequence[Any]]:
    """All pipelines of a configuration: those of training say how ground truth is read."""
    data = config.get("data")
    tables: list[Any] = [data.get(name) for name in ("train", "val", "test")] if isinstance(data, Mapping) else []
    tables += [
        loader.get("dataset")
        for name in ("train_dataloader", "val_dataloader", "test_dataloader")
        if isinstance(loader := config.get(name), Mapping)
    ]
    found: list[Any] = []
    for table in tables:
        # A data set that joins others in a picture has transforms of its own, and theirs read the ground truth.
        for each in (table, data_folders.unwrapped(table)):
            found.append(each.get("pipeline") if isinstance(each, Mapping) else None)
    found += [config.get("train_pipeline"), config.get("test_pipeline")]
    return [each for each in found if isinstance(each, (list, tuple))]


def _described(dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table of a data set with what its `metainfo` says."""
    meta = dataset.get("metainfo")
    return {**dataset, **meta} if isinstance(meta, Mapping) else dataset


def _described_labels(dataset: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, tuple[Rgb, ...] | None]:
    """Class names and colours that the configuration itself gives its data set."""
    table = _described(dataset)
    labels, colours = table.get("classes"), table.get("palette")
    if not isinstance(labels, (list, tuple)) or not labels or not all(isinstance(each, str) for each in labels):
        return None, None
    palette = tuple(
        (int(each[0]), int(each[1]), int(each[2]))
        for each in (colours if isinstance(colours, (list, tuple)) else ())
        if isinstance(each, (list, tuple))
        and len(each) == 3
        and all(isinstance(part, int) and 0 <= part <= 255 for part in each)
    )
    return tuple(labels), palette if len(palette) == len(labels) else None


def _left_out_of_masks(dataset: Mapping[str, Any]) -> list[str]:
    """A note where masks leave out another value than the usual one, which evaluation must be told."""
    value = dataset.get("ignore_index", 255)
    if not isinstance(value, int) or value == 255:
        return []
    return [f"the configuration does not evaluate mask value {value} (ignore_index): pass --ignore {value}"]


def _left_out(config: Mapping[str, Any], model: Mapping[str, Any]) -> list[str]:
    notes = []
    heads = model.get("auxiliary_head")
    if heads:
        count = len(heads) if isinstance(heads, (list, tuple)) else 1
        notes.append(f"{count} auxiliary head{'s' if count > 1 else ''} of training left out")
    if config.get("custom_imports"):
        notes.append("custom_imports of the configuration left out: no code of it is imported")
    return notes
