"""Says in words what lies in a folder that is no data set, and what a file that is no data file is."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import Counter
from pathlib import Path

from densecast.errors import MissingFileError

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".xz", ".bz2")
_TABLES = (".txt", ".xlsx")
_SHOWN = 5
_LOOKED_AT = 2000
_LOOKED_INTO, _SNIFFED = 20, 1 << 20
# Two of these lists are in no other tool's file.
_LISTS, _ENOUGH = (b"images", b"annotations", b"categories"), 2
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
# What holds labels without being an image, and what to do about it.
_VOLUMES = "Volumes have to be written as a PNG or TIFF a slice, or pass (id, image, target) from Python"
_ARRAYS = (
    "Masks may be numpy's arrays, pictures have to be image files: save them as PNG or TIFF, or pass (id, image, "
    "target) from Python"
)
_CURES = {
    ".nii": _VOLUMES,
    ".nii.gz": _VOLUMES,
    ".nrrd": _VOLUMES,
    ".mha": _VOLUMES,
    ".dcm": _VOLUMES,
    ".npy": _ARRAYS,
    ".npz": _ARRAYS,
    ".mat": "Masks have to be image files: save the arrays as PNG",
    ".txt": "Of outlines in text files Ultralytics' are read (--dataset yolo_segmentation: labels/ beside images/, "
    "data.yaml); others have to be drawn into masks, or written as COCO's JSON",
    ".xml": "Outlines or boxes in XML have to be drawn into masks, or written as COCO's JSON",
    ".json": "Of outlines in a file a picture LabelMe's are read (--dataset labelme); others have to be drawn into "
    "masks, or joined as COCO's JSON",
}


def of_folder(root: Path) -> str:
    """`It holds images (4 .png), masks (4 .npy).` with a cure where labels are in no image; hidden files left out."""
    kinds: Counter[str] = Counter()
    parts: list[str] = []
    here = _kinds(root, below=False)
    if here:
        parts.append(_counted(here))
        kinds.update(here)
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    for path in folders[:_SHOWN]:
        found = _kinds(path, below=True)
        kinds.update(found)
        parts.append(f"{path.name}/ ({_counted(found) or 'nothing'})")
    more = f" and {len(folders) - _SHOWN} folders more" if len(folders) > _SHOWN else ""
    cure = next((f" {text}." for suffix, text in _CURES.items() if kinds[suffix]), "")
    if kinds[".json"] and (named := _annotations(root)) is not None:
        cure = f" {named.relative_to(root)} is COCO's: name the file itself as the data."
    return f" It holds {', '.join(parts) or 'nothing'}{more}.{cure}"


def _annotations(root: Path) -> Path | None:
    """The first JSON file below that holds COCO's lists, of those that are looked at."""
    for path in itertools.islice(sorted(root.rglob("*.json")), _LOOKED_INTO):
        with contextlib.suppress(OSError), path.open("rb") as file:
            start = file.read(_SNIFFED)
            if sum(re.search(rb'"%s"\s*:\s*\[' % key, start) is not None for key in _LISTS) >= _ENOUGH:
                return path
    return None


def of_file(path: Path) -> str:
    """Why a file of this suffix is no data file, with what to do."""
    suffix = path.suffix.lower()
    if suffix in _ARCHIVES:
        return "is an archive: unpack it, and name the folder"
    if suffix in _TABLES:
        return (
            "is a table or list, which describes no data: name the folder with the pictures and masks, or pass "
            "(id, image, target) from Python"
        )
    return "is no data file (.toml, .yaml, .json), annotation file of COCO (.json) or Parquet file"


def require_folder(root: Path) -> None:
    """Check that the root of a data set is a folder.

    Raises:
        MissingFileError: says what it is instead.
    """
    if root.is_dir():
        return
    if _ADDRESS.match(str(root)):
        raise MissingFileError(f"{root} is an address; data are files here: download them, and name the folder.")
    if root.is_file():
        what = of_file(root) if root.suffix.lower() in _ARCHIVES else "is a file: name the data set's folder"
        raise MissingFileError(f"{root} {what}.")
    raise MissingFileError(f"data set folder {root} does not exist.")


def _kinds(folder: Path, *, below: bool) -> Counter[str]:
    found: Counter[str] = Counter()
    for number, path in enumerate(folder.rglob("*") if below else folder.iterdir()):
        if number >= _LOOKED_AT:
            break
        if path.is_file() and not path.name.startswith("."):
            name = path.name.lower()
            found[".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower() or path.name] += 1
    return found


def _counted(kinds: Counter[str]) -> str:
    ordered = sorted(kinds.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{count} {kind}" for kind, count in ordered[:3])
