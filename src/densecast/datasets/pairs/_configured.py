"""Public data sets under the names that configurations of segmentation frameworks give them, as folders of pairs.

A name says which folders and lists are the splits, how masks are named beside their pictures, what their values are
called, and whether 0 is left out. What the user or a data file says of these goes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from densecast.datasets import _class_names
from densecast.datasets.pairs.data_file import DataFile, Place


@dataclass(frozen=True, slots=True)
class Configured:
    """A data set by its name in configurations.

    `images` and `masks` are the folders of pictures and masks below the root, `train` and `val` folders of pictures
    below it, or lists; of several the first that is there. `image_suffix` and `suffix` are what the names of pictures
    and masks have after what they share. `names` are the classes in the order of the masks' values, from 1 with
    `reduce_zero_label`; empty where the user names them.
    """

    images: str | None
    masks: str | None
    suffix: str | None
    names: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    image_suffix: str = ""
    reduce_zero_label: bool = False

    def over(self, file: DataFile) -> DataFile:
        """The data file with what it leaves out."""
        has_folders = file.images is not None or file.masks is not None or file.train or file.val
        if not has_folders:
            # A folder that is not there is not named: the ones that are may still be found by their usual names.
            images, masks = (
                each if each and (file.root / each).is_dir() else None for each in (self.images, self.masks)
            )
            file = replace(file, images=images, masks=masks, masks_dir=file.masks_dir or masks)
            file = replace(file, train=_first(file.root, self.train), val=_first(file.root, self.val))
        return replace(
            file,
            suffix=self.suffix if file.suffix is None else file.suffix,
            image_suffix=file.image_suffix or self.image_suffix,
            names=file.names or self.names,
            reduce_zero_label=self.reduce_zero_label if file.reduce_zero_label is None else file.reduce_zero_label,
            leaves_others_out=bool(self.names) and not file.names,
        )


def _first(root: Path, places: tuple[str, ...]) -> Place:
    return next((each for each in places if (root / each).exists()), None)


def _by_folders(folder: str, masks: str, suffix: str, names: tuple[str, ...], **more: object) -> Configured:
    """Splits as folders below the pictures' folder, under any of the usual names."""
    train = tuple(f"{folder}/{name}" for name in ("train", "training", "train2017", "train2014"))
    val = tuple(f"{folder}/{name}" for name in ("val", "validation", "val2017", "test2014", "test"))
    made = Configured(folder, masks, suffix, names, train, val)
    return replace(made, **more)  # type: ignore[arg-type]


def _by_lists(masks: str, lists: str, names: tuple[str, ...], *, reduce_zero_label: bool = False) -> Configured:
    """VOC's folders, with the splits as lists of names."""
    return Configured(
        "JPEGImages",
        masks,
        ".png",
        names,
        (f"ImageSets/{lists}/train.txt",),
        (f"ImageSets/{lists}/val.txt",),
        reduce_zero_label=reduce_zero_label,
    )


_ISPRS = _by_folders("img_dir", "ann_dir", ".png", _class_names.ISPRS, reduce_zero_label=True)
_OWN = Configured(None, None, None)

CONFIGURED: Mapping[str, Configured] = {
    "ADE20KDataset": _by_folders("images", "annotations", ".png", _class_names.ADE20K, reduce_zero_label=True),
    "BaseSegDataset": _OWN,
    "COCOStuffDataset": _by_folders("images", "annotations", "_labelTrainIds.png", _class_names.COCO_STUFF),
    "ChaseDB1Dataset": _by_folders("images", "annotations", "_1stHO.png", _class_names.VESSELS),
    "CityscapesDataset": _by_folders(
        "leftImg8bit", "gtFine", "_gtFine_labelTrainIds.png", _class_names.CITYSCAPES, image_suffix="_leftImg8bit"
    ),
    "CustomDataset": _OWN,
    "DRIVEDataset": _by_folders("images", "annotations", "_manual1.png", _class_names.VESSELS),
    "DarkZurichDataset": _by_folders(
        "rgb_anon", "gt", "_gt_labelTrainIds.png", _class_names.CITYSCAPES, image_suffix="_rgb_anon"
    ),
    "HRFDataset": _by_folders("images", "annotations", ".png", _class_names.VESSELS),
    "ISPRSDataset": _ISPRS,
    "LoveDADataset": _by_folders("img_dir", "ann_dir", ".png", _class_names.LOVEDA, reduce_zero_label=True),
    "NightDrivingDataset": _by_folders(
        "leftImg8bit",
        "gtCoarse_daytime_trainvaltest",
        "_gtCoarse_labelTrainIds.png",
        _class_names.CITYSCAPES,
        image_suffix="_leftImg8bit",
    ),
    "PascalContextDataset": _by_lists("SegmentationClassContext", "SegmentationContext", _class_names.PASCAL_CONTEXT),
    "PascalContextDataset59": _by_lists(
        "SegmentationClassContext", "SegmentationContext", _class_names.PASCAL_CONTEXT_59, reduce_zero_label=True
    ),
    "PascalVOCDataset": _by_lists("SegmentationClass", "Segmentation", _class_names.VOC),
    "PotsdamDataset": _ISPRS,
    "STAREDataset": _by_folders("images", "annotations", ".ah.png", _class_names.VESSELS),
    "iSAIDDataset": _by_folders("img_dir", "ann_dir", "_instance_color_RGB.png", _class_names.ISAID),
}
"""By the name of the class in MMSegmentation 0.x and 1.x."""
