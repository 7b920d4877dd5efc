"""Finds the folders of pictures and masks below a root, as annotation tools and data sets lay them out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from densecast.datasets import _contents, _names
from densecast.datasets.pairs._beside import side_by_side
from densecast.datasets.pairs._split_names import SPLITS, lists, split_in
from densecast.datasets.pairs.data_file import DataFile
from densecast.errors import BadDatasetError, MissingFileError
from densecast.io import files
from densecast.spec.sample import Split

# In lower case; where several are there, the first one that fits.
IMAGES = (
    "images",
    "imgs",
    "img",
    "image",
    "img_dir",
    "jpegimages",
    "pictures",
    "photos",
    "data",
    "inputs",
    "input",
    "x",
    "rgb",
    "image_2",
    "camerargb",
    "original",
)
MASKS = (
    "masks", "mask", "masks_machine", "labels", "label", "annotations", "annotation", "ann_dir", "ann", "annot",
    "segmentationclass", "segmentation", "segmentations", "gt", "ground_truth", "groundtruth", "ground truth",
    "targets", "target", "y", "seg", "semantic", "cameraseg",
)  # fmt: skip
_WITH_SPLIT = (
    re.compile(r"(?P<split>train|training|val|valid|validation)[_\- ]?(?P<kind>[a-z_]+)", re.I),
    re.compile(r"(?P<kind>[a-z_]+?)[_\- ]?(?P<split>train|training|val|valid|validation)", re.I),
    re.compile(r"(?P<kind>images|labels)(?P<split>Tr)"),
)
_SHOWN = 8
_BESIDE = ("annot", "_labels", "_label", "_masks", "_mask", "_annot", "labels", "masks", "-labels", "-masks")


@dataclass(frozen=True, slots=True)
class Part:
    """Pictures below `images` with masks below `masks`, of one split or (None) of all; `prefix` goes before its ids."""

    images: Path
    masks: Path
    split: Split | None = None
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The parts of a data set, the lists of its splits, in words how it was understood, and what told the splits."""

    parts: tuple[Part, ...]
    words: str
    lists: dict[Split, tuple[Path, ...]] = field(default_factory=dict)
    is_ade20k: bool = False
    told_by: str = "folder"


def find(root: Path, file: DataFile) -> Found:
    """The parts below `root`: those that are named, else those that a convention finds.

    Raises:
        MissingFileError: a folder that is named is not there.
        BadDatasetError: no pictures with masks; or several folders that may be meant.
    """
    _contents.require_folder(root)
    if file.images is not None or file.masks is not None:
        return _named(root, file)
    for layout in (_side_folders, _splits_first, _annot_beside, _splits_in_names, _sets_below, _one_folder):
        found = layout(root)
        if found is not None:
            return found
    _refuse_one_of_two(root)
    raise BadDatasetError(
        f"{root} holds no pictures with masks. Lay them out as images/ and masks/, or name the folders: --images-dir "
        f"and --masks-dir, or `images` and `masks` in a data.toml.{_contents.of_folder(root)}"
    )


def pictures_beside(folder: Path) -> Path | None:
    """The folder of pictures beside a folder that is called as masks are; None if it is not, or there is none."""
    return _beside(folder, IMAGES) if files.real(folder).name.lower() in MASKS else None


def _beside(root: Path, names: tuple[str, ...]) -> Path | None:
    above = files.real(root).parent
    return next((path for path in _folders(above) if path.name.lower() in names and _holds(path, names)), None)


def _holds(folder: Path, names: tuple[str, ...]) -> bool:
    """Whether a folder holds pictures, or where `names` are those of masks pictures or arrays."""
    return _names.has_images(folder) or (names is MASKS and _names.has_arrays(folder))


def _refuse_one_of_two(root: Path) -> None:
    """Refuse the folder of the pictures, or of the masks, beside which the other one lies.

    Raises:
        BadDatasetError: names the folder above.
    """
    is_pictures = files.real(root).name.lower() in IMAGES
    other = _beside(root, MASKS) if is_pictures else pictures_beside(root)
    if other is not None:
        raise BadDatasetError(
            f"{root} lies beside {other.name}, which belongs to it: name the folder of both, {other.parent}."
        )


def _named(root: Path, file: DataFile) -> Found:
    if not any((root / name).is_dir() for name in (file.images, file.masks) if name is not None):
        found = _splits_first(root, file.images, file.masks)
        if found is not None:
            return found
    images = _child(root, file.images, IMAGES, "images_dir", "pictures")
    masks = _child(root, file.masks, MASKS, "masks_dir", "masks")
    return _with_splits(root, images, masks)


def _child(root: Path, name: str | None, usual: tuple[str, ...], field_name: str, what: str) -> Path:
    if name is not None:
        path = root / name
        if not path.is_dir():
            raise MissingFileError(f"folder of {what} {path} does not exist.", field=field_name)
        return path
    found = _first_of(root, usual)
    if found is None:
        raise BadDatasetError(f"{root}: which folder holds the {what}?", field=field_name)
    return found


def _first_of(root: Path, usual: tuple[str, ...]) -> Path | None:
    """The child folder of the first usual name that holds images.

    Raises:
        BadDatasetError: masks lie in several folders of usual names.
    """
    children = {path.name.lower(): path for path in _folders(root)}
    found = [children[name] for name in usual if name in children and _names.has_images(children[name])]
    if not found and usual is MASKS:
        found = [children[name] for name in usual if name in children and _names.has_arrays(children[name])]
    if len(found) > 1 and usual is MASKS:
        names = " and ".join(path.name for path in found)
        raise BadDatasetError(f"{root} has masks in {names}: name the folder that is meant.", field="masks_dir")
    return found[0] if found else None


def _side_folders(root: Path) -> Found | None:
    """`images/` beside `masks/`, each with the splits below or without."""
    images, masks = _first_of(root, IMAGES), _first_of(root, MASKS)
    return _with_splits(root, images, masks) if images and masks else None


def _with_splits(root: Path, images: Path, masks: Path) -> Found:
    splits = _split_folders(images)
    of_masks = {path.name: path for path in _folders(masks)}
    names = [_relative(root, path) for path in (images, masks)]
    if splits and all(path.name in of_masks for path, _ in splits):
        parts = tuple(Part(path, of_masks[path.name], split, f"{path.name}/") for path, split in splits)
        told = ", ".join(path.name for path, _ in splits)
        others = _others(images, splits, _names.has_images)
        is_ade20k = masks.name == "annotations" and {path.name for path, _ in splits} >= {"training", "validation"}
        words = f"pictures in {names[0]}, masks in {names[1]}, splits {told} below{others}"
        return Found(parts, words, {}, is_ade20k)
    return Found((Part(images, masks),), f"pictures in {names[0]}, masks in {names[1]}", lists(root))


def _splits_first(root: Path, images_dir: str | None = None, masks_dir: str | None = None) -> Found | None:
    """`train/images`, `train/masks`, `val/…`, or folders of other names in those of the splits."""

    def both(folder: Path) -> tuple[Path, Path] | None:
        found = [
            _first_of(folder, usual) if name is None else folder / name if (folder / name).is_dir() else None
            for name, usual in ((images_dir, IMAGES), (masks_dir, MASKS))
        ]
        return (found[0], found[1]) if found[0] and found[1] else None

    splits = _split_folders(root)
    of_split = [(folder, split, both(folder)) for folder, split in splits]
    parts = [Part(*own, split, f"{folder.name}/") for folder, split, own in of_split if own is not None]
    if not parts:
        return None
    named = ", ".join(
        f"{_relative(root, part.images)} and {_relative(root / part.prefix, part.masks)}" for part in parts
    )
    others = _others(root, splits, lambda path: both(path) is not None)
    return Found(tuple(parts), f"pictures and masks in {named}{others}")


def _annot_beside(root: Path) -> Found | None:
    """`train/` beside `trainannot/`, as CamVid; `default/` as CVAT writes without splits."""
    children = {path.name.lower(): path for path in _folders(root)}
    parts = []
    for name, folder in sorted(children.items()):
        beside = next((children[name + end] for end in _BESIDE if name + end in children), None)
        if beside is not None and (name in SPLITS or name in ("default", "test")):
            split = SPLITS.get(name)
            parts.append(Part(folder, beside, split, f"{folder.name}/" if name != "default" else ""))
    if not any(part.split or part.prefix == "" for part in parts):
        return None
    named = ", ".join(f"{part.images.name} and {part.masks.name}" for part in parts)
    return Found(tuple(part for part in parts if part.split or not part.prefix), f"pictures and masks in {named}")


def _splits_in_names(root: Path) -> Found | None:
    """`train_images/` and `train_masks/`, `masks_val/`, nnU-Net's `imagesTr/` and `labelsTr/`."""
    named: dict[tuple[str, str], Path] = {}
    for folder in _folders(root):
        for pattern in _WITH_SPLIT:
            found = pattern.fullmatch(folder.name)
            if found is None:
                continue
            kind, word = found["kind"].lower(), found["split"].lower()
            if kind in IMAGES or kind in MASKS:
                named.setdefault((word, "images" if kind in IMAGES else "masks"), folder)
    words = sorted({word for word, kind in named if kind == "images" and (word, "masks") in named})
    parts = [Part(named[word, "images"], named[word, "masks"], SPLITS.get(word, "train"), f"{word}/") for word in words]
    if not parts:
        return None
    told = ", ".join(f"{part.images.name} and {part.masks.name}" for part in parts)
    return Found(tuple(parts), f"pictures and masks in {told}")


def _sets_below(root: Path) -> Found | None:
    """Several folders that each have pictures and masks, as Supervisely's projects."""
    parts = []
    for folder in _folders(root):
        images, masks = _first_of(folder, IMAGES), _first_of(folder, MASKS)
        if images and masks:
            parts.append(Part(images, masks, None, f"{folder.name}/"))
    if not parts:
        return None
    names = ", ".join(part.prefix[:-1] for part in parts[:_SHOWN])
    more = f" and {len(parts) - _SHOWN} more folders" if len(parts) > _SHOWN else ""
    return Found(tuple(parts), f"pictures and masks below {names}{more}", lists(root))


def _one_folder(root: Path) -> Found | None:
    """Pictures and masks side by side, in the root or in a folder for each split."""
    splits = [(path, split) for path, split in _split_folders(root) if side_by_side(path)]
    if splits:
        parts = tuple(Part(path, path, split, f"{path.name}/") for path, split in splits)
        return Found(parts, f"pictures and masks side by side in {', '.join(path.name for path, _ in splits)}")
    if side_by_side(root):
        return Found((Part(root, root),), "pictures and masks side by side", lists(root))
    return None


def _split_folders(root: Path) -> list[tuple[Path, Split]]:
    """The folders of the splits: of their plain names, else `train2017` and `val2017`, `01_train` and `02_dev`.

    A name that only holds such a word may be anything, so that both splits have to be there.
    """
    folders = sorted(_folders(root), key=lambda each: each.name)
    found = [(path, SPLITS[path.name.lower()]) for path in folders if path.name.lower() in SPLITS]
    if len({split for _, split in found}) == len(set(SPLITS.values())):
        return found
    longer = [(path, split) for path in folders if (split := split_in(path.name)) is not None]
    return longer if len({split for _, split in longer}) == len(set(SPLITS.values())) else found


def _others(folder: Path, splits: Iterable[tuple[Path, Split]], fits: Callable[[Path], bool]) -> str:
    """`, test left out`: folders of pictures that are no split."""
    taken = {path for path, _ in splits}
    left = [path.name for path in _folders(folder) if path not in taken and fits(path)]
    return f", {', '.join(left)} left out" if left else ""


def _folders(root: Path) -> Iterable[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not _names.is_hidden(path))


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
