"""Images with several classes a pixel: `images/<id>.*`, and in `masks/` one of three forms.

- `masks/<id>.png`: a bit field of 8 or 16 bits in one channel, bit i for class i, as `infer` writes it;
- `masks/<id>.npz`: `classes` (C, H, W) bool, and the names of the classes as `labels` if they are known;
- `masks/<class>/<id>.png`: a mask for each class, where other than 0 is the class; one that is not there is empty.

`labels.txt` in the root names the classes in order, one a line. Folders of classes need it; other forms are compared
with the model by it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast.datasets import _folder_pairs, _lists
from densecast.datasets._base import Dataset, DatasetFormat, FolderFormat
from densecast.errors import BadDatasetError
from densecast.imaging import read
from densecast.spec.sample import CheckReport, Sample, Split
from densecast.tasks.multilabel import Bits, MultilabelTarget
from densecast.tasks.multilabel.files import from_bit_field

LABELS = "labels.txt"
_FOLDER = "masks"
_LOOKED_FOR = "masks/<its stem>.png, .npz, or masks/<class>/<its stem>.png"


def open(root: Path, split: Split = "val", seed: int = 0) -> Dataset[MultilabelTarget]:
    """The split's samples in sorted order; see `_folder_pairs.open_pairs` for the splits.

    Raises:
        MissingFileError: no such folder.
        BadDatasetError: no images, an image without masks, or folders of classes that `labels.txt` does not name.
    """
    return _folder_pairs.open_pairs("multilabel_pairs", root, split, seed, _target_of, _read, _LOOKED_FOR)


def check(root: Path) -> CheckReport:
    """Whether every image has masks of its size."""
    return _folder_pairs.check_pairs(root, _target_of, _read)


def _target_of(root: Path, stem: str) -> Path | None:
    """The file of a bit field or of all classes; of folders of classes the first mask there is."""
    folder = root / _FOLDER
    found = [path for suffix in (".png", ".npz") if (path := folder / f"{stem}{suffix}").is_file()]
    found += [path for label in _labels(root) or () if (path := folder / label / f"{stem}.png").is_file()][:1]
    if len(found) > 1:
        raise BadDatasetError(f"{found[0]} and {found[1]} are both the masks of {stem}. Keep one form.")
    return found[0] if found else None


def _read(sample: Sample) -> MultilabelTarget:
    path = sample.target
    is_by_class = path.parent.name != _FOLDER or path.parents[1].name == _FOLDER
    root = path.parents[2] if is_by_class else path.parents[1]
    labels = _labels(root)
    if is_by_class:
        classes = _read_by_class(root, path.name, labels or ())
    elif path.suffix == ".npz":
        classes, own = _read_npz(path)
        if own is not None and labels is not None and own != labels:
            raise BadDatasetError(f"{path}: its classes {', '.join(own)} are not those of {root / LABELS}.")
        labels = labels or own
    else:
        classes = from_bit_field(_read_field(path))
    image_hw = read.size_hw(sample.image)
    if classes.shape[1:] != image_hw:
        raise BadDatasetError(
            f"{path}: {classes.shape[1:]} is not the size of its image, which is {image_hw}. They must be of one size."
        )
    return MultilabelTarget(classes, labels)


def _labels(root: Path) -> tuple[str, ...] | None:
    path = root / LABELS
    if not path.is_file():
        if any(each.is_dir() for each in (root / _FOLDER).glob("*")):
            raise BadDatasetError(f"{root}: its masks are in folders of classes; name these in order in {path}.")
        return None
    text = _lists.text_of(path, old=True)
    if text is None:
        raise BadDatasetError(f"{path}: not a text of one class a line.")
    labels = tuple(line.strip() for line in text.split("\n") if line.strip())
    unknown = [each.name for each in sorted((root / _FOLDER).glob("*")) if each.is_dir() and each.name not in labels]
    if unknown or len(set(labels)) != len(labels):
        raise BadDatasetError(
            f"{path} must name every class once, in order; "
            + (f"it lacks the folder {unknown[0]}." if unknown else "it names one twice.")
        )
    return labels


def _read_by_class(root: Path, name: str, labels: tuple[str, ...]) -> Bits:
    paths = [root / _FOLDER / label / name for label in labels]
    planes = {place: _read_field(path) != 0 for place, path in enumerate(paths) if path.is_file()}
    shapes = {plane.shape for plane in planes.values()}
    if len(shapes) != 1:
        raise BadDatasetError(f"{root / _FOLDER}: the masks {name} of its classes are of several sizes.")
    classes = np.zeros((len(labels), *shapes.pop()), np.bool_)
    for place, plane in planes.items():
        classes[place] = plane
    return classes


def _read_npz(path: Path) -> tuple[Bits, tuple[str, ...] | None]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            classes = arrays["classes"]
            labels = tuple(str(label) for label in arrays["labels"]) if "labels" in arrays else None
    except Exception as error:  # numpy and zipfile raise whatever the damage leads to
        raise BadDatasetError(f"{path} has no 'classes' that can be read ({error}).") from None
    if classes.ndim != 3 or classes.dtype != np.bool_ or (labels is not None and len(labels) != len(classes)):
        raise BadDatasetError(f"{path}: 'classes' must be (C, H, W) bool, got {classes.dtype} {classes.shape}.")
    return classes, labels


def _read_field(path: Path) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    import cv2

    read.size_hw(path)
    if _has_palette(path):
        raise BadDatasetError(f"{path}: a PNG with a palette has one class a pixel; bits are in a grey PNG.")
    field = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if field is None or field.ndim != 2 or field.dtype not in (np.uint8, np.uint16):
        got = "no image" if field is None else f"{field.dtype} {field.shape}"
        raise BadDatasetError(f"{path}: a mask is one channel of 8 or 16 bits, got {got}.")
    return np.asarray(field)


def _has_palette(path: Path) -> bool:
    from PIL import Image

    with Image.open(path) as image:
        return image.mode == "P"


DATASET: DatasetFormat = FolderFormat(
    open, check, ("MULTILABEL_PAIRS_DATASETS_PATH",), truth_of=frozenset(("classes",))
)
