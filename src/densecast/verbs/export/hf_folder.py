"""Opens a Hugging Face model folder: network, labels and preprocessing from its own files, without the network."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densecast.errors import BadGraphError, MissingExtraError
from densecast.io import codec
from densecast.spec.preprocess import Preprocess
from densecast.verbs.export import library_preprocess
from densecast.verbs.export.torch_file import last_line

# The class of transformers for a task, and that task in words.
_CLASSES = {
    "segmentation": ("AutoModelForSemanticSegmentation", "semantic segmentation"),
    "monocular_depth": ("AutoModelForDepthEstimation", "depth estimation"),
}
# Heads that serve training alone, and counters.
_UNNEEDED = re.compile(r"(^|\.)auxiliary_head\.|num_batches_tracked$")
# Classes for other tasks than these; of classifiers it is said which tensors they lack.
_OTHER_HEADS = re.compile(r"For(?!SemanticSegmentation|DepthEstimation|ImageClassification)[A-Z]\w+")
_SHOWN = 3
_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
# Networks that classify masks, from which a score of each class and pixel is made; to what size
# `post_process_semantic_segmentation` brings the masks first, None where that is their own.
MASKS_HW: dict[str, tuple[int, int] | None] = {
    "MaskFormerForInstanceSegmentation": None,
    "Mask2FormerForUniversalSegmentation": (384, 384),
}
# Networks that propose objects and score each: they give no map of class scores.
BY_OBJECT = ("Mask2Former", "MaskFormer", "OneFormer", "Detr", "Yolos", "EoMT", "Sam", "RCNN", "RetinaNet", "FCOS")
# Networks whose three planes are a picture's colours.
_OF_CLASSES = ("segmentation", "multilabel")
_OF_PICTURES = ("ForImageSuperResolution", "ForImageToImage", "ForMaskedImageModeling")


def is_folder(path: Path) -> bool:
    """Whether it is a folder as `save_pretrained` writes it."""
    return (path / "config.json").is_file() and any((path / name).is_file() for name in _WEIGHTS)


def preprocess_of(path: Path, *, is_resized: bool = False) -> Preprocess | None:
    """Preprocessing of `preprocessor_config.json`, None where that is not there; see `library_preprocess.of_processor`.

    Raises:
        BadConfigError: it cannot be read or expressed.
    """
    file = path / library_preprocess.PROCESSOR_FILE
    return library_preprocess.of_processor(codec.read(file, dict), is_resized=is_resized) if file.is_file() else None


def remarks_of(path: Path) -> tuple[str, ...]:
    """What `preprocessor_config.json` says of ground truth, which an export has no use for and `evaluate` has.

    Raises:
        BadConfigError: it cannot be read.
    """
    file = path / library_preprocess.PROCESSOR_FILE
    said = codec.read(file, dict) if file.is_file() else {}
    if not (said.get("do_reduce_labels") or said.get("reduce_labels")):
        return ()
    return (
        f"the processor of {path.name} counts the classes of masks from 1 and leaves 0 out (do_reduce_labels). "
        "Evaluate on such masks with --reduce-zero-label.",
    )


def labels(path: Path) -> tuple[str, ...]:
    """The labels of `config.json`; none where it has none.

    Raises:
        BadConfigError: it cannot be read.
        BadGraphError: the network is of a kind that gives no map of class scores.
    """
    from densecast.verbs.export.described import labels_of

    config = codec.read(path / "config.json", dict)
    name = " ".join(str(name) for name in config.get("architectures") or [config.get("model_type", "")])
    refuse_by_object(name)
    if _OTHER_HEADS.search(name) and name not in MASKS_HW:
        raise BadGraphError(
            f"{path} holds a {name}. Of Hugging Face folders densecast takes networks for semantic segmentation and "
            "depth estimation. Of another one wrap the part that gives maps in a module of the image alone "
            "(--module), with a task of your own if it is neither segmentation nor depth."
        )
    return labels_of(config["id2label"]) if config.get("id2label") else ()


def load(path: Path, task: str) -> Any:
    """The network for a task, with the folder's weights and transformers' own code only.

    Raises:
        MissingExtraError: transformers is not installed.
        BadGraphError: transformers cannot read it, knows no network of this kind, or the folder lacks weights of it,
            which transformers would draw at random.
    """
    require_transformers()
    kind, what = _CLASSES.get(task, _CLASSES["segmentation"])
    name = _architectures(path)
    kind = name if name in MASKS_HW and task == "segmentation" else kind
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import transformers

            network, found = getattr(transformers, kind).from_pretrained(
                path, local_files_only=True, trust_remote_code=False, output_loading_info=True
            )
    except Exception as error:  # transformers raises several unrelated kinds
        if "Unrecognized configuration class" in str(error):
            raise BadGraphError(
                f"{path} holds a {_architectures(path)}; transformers has no network for {what} of its kind."
            ) from None
        raise BadGraphError(f"transformers cannot open {path} as {what}: {last_line(error)}.") from None
    _refuse_untrained(path, what, found)
    return network


def is_described(path: Path) -> bool:
    """Whether the folder says all that a prediction needs: labels, or that it is one of depth.

    Raises:
        BadConfigError, BadGraphError: see `labels`.
    """
    return bool(labels(path)) or task_of(path) == "monocular_depth"


def task_of(path: Path) -> str | None:
    """The task that the folder says its network is for; None where it is of another or says nothing."""
    name = _architectures(path)
    if name in MASKS_HW:
        return "segmentation"
    return next((task for task, (kind, _) in _CLASSES.items() if kind.removeprefix("AutoModel") in name), None)


def refuse_other_task(path: Path, task: str) -> None:
    """Refuse a folder that says it is a network for another task.

    Raises:
        BadGraphError: names the task that it is for.
    """
    refuse_by_class(_architectures(path), task, "the folder's ")


def refuse_by_class(name: str, task: str, where: str = "") -> None:
    """Refuse a network of transformers whose class says that it is for another task, or that it scores objects.

    Raises:
        BadGraphError: names the task that it is for.
    """
    refuse_by_object(name)
    if task in _OF_CLASSES and any(kind in name for kind in _OF_PICTURES):
        raise BadGraphError(
            f"{where}{name} makes pictures of pictures: its output is colours, not scores of classes. A network like "
            "this is exported with a task of your own (docs/own-task.md)."
        )
    for other, (kind, what) in _CLASSES.items():
        if kind.removeprefix("AutoModel") in name and task in _CLASSES and task != other:
            raise BadGraphError(
                f"{where}{name}, a network for {what}, is exported for {task}. "
                f'Say task = "{other}" in a spec file, or in Python.'
            )


def kind_of(path: Path) -> tuple[str, dict[str, Any]]:
    """The names of the folder's network classes, and its configuration."""
    return _architectures(path), codec.read(path / "config.json", dict)


def _architectures(path: Path) -> str:
    return " ".join(str(name) for name in codec.read(path / "config.json", dict).get("architectures") or ["network"])


def _refuse_untrained(path: Path, what: str, found: Mapping[str, Any]) -> None:
    """Refuse a network of which tensors are not in the folder, as its head is not in that of a classifier.

    Raises:
        BadGraphError: names the first of them, and what the folder holds.
    """
    lacking = sorted({*found.get("missing_keys", ()), *(each[0] for each in found.get("mismatched_keys", ()))})
    lacking = [key for key in lacking if not _UNNEEDED.search(key)]
    if lacking:
        raise BadGraphError(
            f"{path} holds a {_architectures(path)}, which is not trained for {what}: {len(lacking)} of its tensors "
            f"are not in the folder ({', '.join(lacking[:_SHOWN])}{', …' if len(lacking) > _SHOWN else ''}), and would "
            "be random numbers. Give the folder of the network that was fine-tuned for it."
        )


def require_transformers() -> None:
    """Raise an error that says what to install if transformers is missing.

    Raises:
        MissingExtraError: it is.
    """
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError.of("huggingface", "export of a Hugging Face folder")


def refuse_by_object(name: str) -> None:
    """Refuse networks that score proposed objects, by the name of their class.

    Raises:
        BadGraphError: it is one.
    """
    known = next((kind for kind in BY_OBJECT if kind.lower() in name.lower()), None)
    if known is not None and name not in MASKS_HW:
        raise BadGraphError(
            f"{name} scores proposed objects (masks with classes), not every pixel. densecast takes networks that "
            "give one map of class scores; wrap it in a module that combines masks and classes to (N, classes, H, W)."
        )
