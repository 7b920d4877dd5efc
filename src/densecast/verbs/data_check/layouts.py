"""Tells the layout of a folder that no model is named for, by what lies in it."""

from __future__ import annotations

from pathlib import Path

from densecast.datasets import _contents, _folder_pairs, coco_segmentation, labelme, pairs, parquet, yolo_segmentation
from densecast.datasets.pairs import data_file
from densecast.errors import BadDatasetError, MissingFileError
from densecast.spec.data_options import DataOptions

_COLOUR_TABLES = ("labelmap.txt", "label_colors.txt", "label_colours.txt", "class_dict.csv")
_DATA_FILES = ("data.toml", "data.yaml", "data.yml", "data.json")


def without_model(root: Path, options: DataOptions) -> str:
    """The data set's name: the option's, else the published layout whose files are there, else pairs.

    Raises:
        MissingFileError: nothing is there.
        BadDatasetError: it looks like nothing that is known.
    """
    if options.dataset is not None:
        return options.dataset
    if not root.exists():
        raise MissingFileError(f"data set folder {root} does not exist.")
    if parquet.looks_like(root) and (root.is_file() or not pairs.looks_like(root)):
        return "parquet"
    if coco_segmentation.looks_like(root) and not (root.is_dir() and pairs.looks_like(root)):
        return "coco_keypoints" if _has_joints(root) else "coco_segmentation"
    # A data file says nothing about what kind of labels there are.
    has_masks = root.is_dir() and data_file.find(root) is None and pairs.looks_like(root)
    if labelme.looks_like(root) and not has_masks:
        return "labelme"
    if yolo_segmentation.looks_like(root) and not has_masks:
        return "yolo_segmentation"
    if root.is_file() or options.named or any((root / name).is_file() for name in _DATA_FILES):
        return "pairs"
    if any((root / "annotations").glob("person_keypoints_*.json")):
        return "coco_keypoints"
    if (root / "leftImg8bit").is_dir():
        return "cityscapes"
    if _folder_pairs.folder_of_images(root) is not None:
        if (root / "depth").is_dir():
            return "depth_pairs"
        if _is_multilabel(root):
            return "multilabel_pairs"
    own_colours = any((root / name).is_file() for name in _COLOUR_TABLES)
    homes = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")
    if not own_colours and any((home / "ImageSets" / "Segmentation").is_dir() for home in homes):
        return "voc2012"
    if pairs.looks_like(root):
        return "pairs"
    raise BadDatasetError(
        f"{root} looks like no data set: there is no images/ beside masks/ or depth/ (or their like). Name the folders "
        f"with --images-dir and --masks-dir, or the layout with --dataset.{_contents.of_folder(root)}"
    )


def _has_joints(root: Path) -> bool:
    """Whether an annotation file that is named has people's joints."""
    return root.suffix.lower() == ".json" and b'"keypoints"' in root.read_bytes()


def _is_multilabel(root: Path) -> bool:
    """Whether masks are files of all classes, or lie in a folder for each class that `labels.txt` names."""
    masks = root / "masks"
    return any(masks.glob("*.npz")) or (
        (root / "labels.txt").is_file() and any(path.is_dir() for path in masks.glob("*"))
    )
