"""PASCAL VOC 2012 segmentation: everyday photographs with 20 classes and background.

`JPEGImages/<id>.jpg` with `SegmentationClass/<id>.png`, whose palette indices are the classes, and the ids of a split
in `ImageSets/Segmentation/<split>.txt` (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from densecast.datasets._base import DatasetFormat, EvaluationProtocol, FolderFormat
from densecast.datasets._label_map import read_label_map
from densecast.errors import BadDatasetError, DensecastError, MissingFileError
from densecast.spec.sample import CheckReport, LabelMap, Sample, Split, SplitRecord, ids_sha256
from densecast.tasks.segmentation import ToImage
from densecast.tasks.segmentation.palettes import IGNORED, VOC2012

_NEAREST: tuple[ToImage, ...] = ("nearest_labels", "nearest_labels_pillow")
_KEPT, _STRETCHED = ("fit_into", "keep_ratio"), ("stretch",)
# How magicmind_cloud's DeepLabV3 sample was measured, as its history of published numbers tells.
PROTOCOLS = {
    "magicmind_1000": EvaluationProtocol(
        "val", 1000, 1449, _KEPT, _NEAREST, "original", "the first 1000 of val, aspect kept, labels enlarged by nearest"
    ),
    "magicmind_1000_stretched": EvaluationProtocol(
        "val",
        1000,
        1449,
        _STRETCHED,
        _NEAREST,
        "stretch",
        "the first 1000 of val, stretched, labels enlarged by nearest",
    ),
    "magicmind_1449_stretched": EvaluationProtocol(
        "val", 1449, 1449, _STRETCHED, _NEAREST, "stretch", "all of val, stretched, labels enlarged by nearest"
    ),
}

IMAGES: dict[Split, int] = {"train": 1464, "val": 1449}

_KNOWN = (*range(len(VOC2012)), IGNORED)
_LISTS = Path("ImageSets", "Segmentation")
# The published lists are 35 kB; a list of this size would name every image of VOC many times over.
_MAX_LIST_BYTES = 4 << 20
_MAX_ID = 100


@dataclass(frozen=True, slots=True)
class Voc2012:
    """One split of a VOC2012 folder."""

    root: Path
    split: Split
    total: int
    samples: tuple[Sample, ...]
    name: str = "voc2012"

    def read_target(self, sample: Sample) -> LabelMap:
        """(H, W) uint8: 0 background, 1 to 20 the classes, 255 the borders that are not evaluated.

        Raises:
            BadImageError: the labels cannot be read, or are colours.
            BadDatasetError: their size is not their image's, or there are unknown labels among them.
        """
        return read_label_map(sample, _KNOWN)

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit`."""
        chosen = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(chosen), self.total, None, ids_sha256(chosen))


def open(root: Path, split: Split = "val", seed: int = 0) -> Voc2012:
    """The split's samples in the order of its list; of "all", in the order of their ids.

    `root` is the folder VOC2012, VOCdevkit above it, or the one above that. The splits are the publisher's: there
    is nothing for `seed` to draw.

    Raises:
        MissingFileError: no such folder.
        BadDatasetError: not VOC2012's layout, no list of this split, or one that names images that are not there.
    """
    home = _home(root)
    lists = _lists(home)
    everything = sorted({name for names in lists.values() for name in names})
    names = everything if split == "all" else lists.get(split, [])
    if not names:
        there = ", ".join(f"{each}.txt ({len(ids)})" for each, ids in lists.items() if ids)
        raise BadDatasetError(
            f"{home / _LISTS} lists no images of the split {split!r}; there is {there or 'no list at all'}. Use "
            "the split 'all', or a folder of images to calibrate with.",
            field="split",
        )
    samples = tuple(_sample(home, name) for name in names)
    missing = [path for sample in samples for path in (sample.image, sample.target) if not path.is_file()]
    if missing:
        raise BadDatasetError(f"{len(missing)} listed files are not there, the first is {missing[0]}.")
    return Voc2012(home, split, len(everything), samples)


def check(root: Path) -> CheckReport:
    """Lists, pairs, sizes and values of every listed image."""
    home = _home(root)
    lists = _lists(home)
    problems: list[str] = []
    counts = {f"{split} images": len(names) for split, names in lists.items()}
    listed = {split: len(lists.get(split, [])) for split in IMAGES}
    if listed != IMAGES:
        present = " and ".join(f"{count} {split}" for split, count in listed.items())
        problems.append(f"{present} images; the whole data set has {' and '.join(map(str, IMAGES.values()))}")
    names = sorted({name for ids in lists.values() for name in ids})
    samples = tuple(_sample(home, name) for name in names)
    opened = Voc2012(home, "all", len(samples), samples)
    for sample in samples:
        absent = [path for path in (sample.image, sample.target) if not path.is_file()]
        problems += [f"{path} is listed and not there" for path in absent]
        if absent:
            continue
        try:
            opened.read_target(sample)
        except DensecastError as error:
            problems.append(str(error))
    counts["label maps"] = len(list((home / "SegmentationClass").glob("*.png")))
    return CheckReport(root, counts, tuple(problems))


def _home(root: Path) -> Path:
    """The folder VOC2012 itself."""
    if not root.is_dir():
        raise MissingFileError(f"data set folder {root} does not exist.")
    for home in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (home / _LISTS).is_dir():
            return home
    raise BadDatasetError(
        f"{root} holds no {_LISTS}. Name the folder VOC2012, which has it beside JPEGImages and SegmentationClass, "
        "or VOCdevkit above it."
    )


def _lists(home: Path) -> dict[str, list[str]]:
    """The ids of each list that is there."""
    paths = {name: home / _LISTS / f"{name}.txt" for name in ("train", "val", "trainval")}
    return {name: _ids(path) for name, path in paths.items() if path.is_file()}


def _ids(path: Path) -> list[str]:
    """The ids in a list, one a line.

    Raises:
        BadDatasetError: not a list of file names, each named once.
    """
    if path.stat().st_size > _MAX_LIST_BYTES:
        raise BadDatasetError(f"{path}: larger than {_MAX_LIST_BYTES >> 20} MiB; this is no list of VOC's.")
    try:
        names = path.read_text(encoding="utf-8").split()
    except ValueError:
        raise BadDatasetError(f"{path}: not a text of one id a line.") from None
    for name in names:
        if Path(name).name != name or "\0" in name or len(name) > _MAX_ID:
            raise BadDatasetError(f"{path}: {name[:_MAX_ID]!r} is no file name.")
    if len(set(names)) != len(names):
        raise BadDatasetError(f"{path}: names {len(names) - len(set(names))} images twice.")
    return names


def _sample(home: Path, name: str) -> Sample:
    return Sample(name, home / "JPEGImages" / f"{name}.jpg", home / "SegmentationClass" / f"{name}.png")


DATASET: DatasetFormat = FolderFormat(open, check, ("VOC2012_DATASETS_PATH", "DATASETS_PATH"), protocols=PROTOCOLS)
