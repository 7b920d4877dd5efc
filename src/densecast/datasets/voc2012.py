"""PASCAL VOC 2012 segmentation: everyday photographs with 20 classes and background.

`JPEGImages/<id>.jpg` with `SegmentationClass/<id>.png`, whose palette indices are the classes, and the ids of a split
in `ImageSets/Segmentation/<split>.txt` (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/). One's own data in this layout
may have pictures and masks of any image format, and as many classes as the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from densecast.datasets import _lists, _names
from densecast.datasets._base import DatasetFormat, EvaluationProtocol, ModelFormat
from densecast.datasets._contents import require_folder
from densecast.datasets._label_map import read_label_map
from densecast.datasets._masks import MaskColours, Values, read_values
from densecast.datasets._survey import NOT_EVALUATED, Survey
from densecast.errors import BadDatasetError, DensecastError
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, LabelMap, Sample, Split, SplitRecord, ids_sha256
from densecast.tasks.segmentation import ToImage
from densecast.tasks.segmentation.palettes import IGNORED, VOC2012, voc

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

_LISTS = Path("ImageSets", "Segmentation")
# The published lists are 35 kB; a list of this size would name every image of VOC many times over.
_MAX_LIST_BYTES = 4 << 20
_MAX_ID = 100
_USUAL = (".jpg", ".jpeg", ".JPG", ".png", ".tif")


@dataclass(frozen=True, slots=True)
class Voc2012:
    """One split of a VOC2012 folder."""

    root: Path
    split: Split
    total: int
    samples: tuple[Sample, ...]
    reading: Reading = Reading()
    name: str = "voc2012"

    def read_target(self, sample: Sample) -> LabelMap:
        """(H, W) uint8: 0 background, 1 to 20 (or the model's) the classes, 255 what is not evaluated.

        A palette that has VOC's colours in another order than VOC's is read by colour.

        Raises:
            BadImageError: the labels cannot be read, or are colours.
            BadDatasetError: their size is not their image's, or there are unknown labels among them.
        """
        classes = max(len(VOC2012), len(self.reading.labels))
        colours = MaskColours(known=(voc(256),), classes=classes)
        return read_label_map(sample, (*range(classes), IGNORED), colours, use_exif=self.reading.use_exif)

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit`."""
        chosen = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(chosen), self.total, None, ids_sha256(chosen))


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = Reading()) -> Voc2012:
    """The split's samples in the order of its list; of "all", in the order of their ids.

    `root` is the folder VOC2012, VOCdevkit above it, or the one above that. The splits are the publisher's: there
    is nothing for `seed` to draw.

    Raises:
        MissingFileError: no such folder.
        BadDatasetError: not VOC2012's layout, no list of this split, or one that names images that are not there.
    """
    home = _home(root)
    lists, files = _lists_of(home), _Files.of(home)
    everything = sorted({name for names in lists.values() for name in names})
    names = everything if split == "all" else lists.get(split, [])
    if not names:
        raise BadDatasetError(_no_images(home, split, lists), field="split")
    samples = tuple(files.sample(name) for name in names)
    missing = [path for sample in samples for path in (sample.image, sample.target) if not path.is_file()]
    if missing:
        raise BadDatasetError(f"{len(missing)} listed files are not there, the first is {missing[0]}.")
    return Voc2012(home, split, len(everything), samples, reading)


def check(root: Path, reading: Reading = Reading()) -> CheckReport:
    """Lists, pairs, sizes and values of every listed image."""
    home = _home(root)
    lists, files = _lists_of(home), _Files.of(home)
    problems: list[str] = []
    counts = {f"{split} images": len(names) for split, names in lists.items()}
    listed = {split: len(lists.get(split, [])) for split in IMAGES}
    if listed != IMAGES:
        present = " and ".join(f"{count} {split}" for split, count in listed.items())
        problems.append(f"{present} images; the whole data set has {' and '.join(map(str, IMAGES.values()))}")
    names = sorted({name for ids in lists.values() for name in ids})
    samples = tuple(files.sample(name) for name in names)
    opened = Voc2012(home, "all", len(samples), samples, reading)
    for sample in samples:
        absent = [path for path in (sample.image, sample.target) if not path.is_file()]
        problems += [f"{path} is listed and not there" for path in absent]
        if absent:
            continue
        try:
            opened.read_target(sample)
        except DensecastError as error:
            problems.append(str(error))
    counts["label maps"] = len(files.masks)
    return CheckReport(root, counts, tuple(problems))


def survey(root: Path, reading: Reading = Reading()) -> Survey:
    """All listed pairs, and listed pictures without a mask or a file."""
    home = _home(root)
    lists, files = _lists_of(home), _Files.of(home)
    names = sorted({name for ids in lists.values() for name in ids})
    if not names:
        raise BadDatasetError(_no_images(home, "all", lists), field="split")
    listed = tuple(files.sample(name) for name in names)
    classes = len(reading.labels) or len(VOC2012)
    table = {**{index: index for index in range(classes)}, IGNORED: NOT_EVALUATED}
    colours = MaskColours(known=(voc(256),), classes=max(len(VOC2012), classes))

    def values(sample: Sample) -> tuple[Values, dict[int, int]]:
        return read_values(sample.target, colours)[0], table

    counts = {split: len(lists.get(split, [])) for split in IMAGES}
    whole = " and ".join(map(str, IMAGES.values()))
    told = " and ".join(f"{count} {split}" for split, count in counts.items())
    samples = tuple(sample for sample in listed if sample.image.is_file() and sample.target.is_file())
    opened = Voc2012(home, "all", len(samples), samples, reading)
    return Survey(
        samples,
        opened.read_target,
        {split: frozenset(lists[split]) for split in IMAGES if split in lists},
        values,
        reading.labels or tuple(VOC2012),
        tuple(sample.image for sample in listed if sample.image.is_file() and not sample.target.is_file()),
        problems=tuple(f"{each.image} is listed and not there" for each in listed if not each.image.is_file()),
        remarks=() if counts == IMAGES else (f"{told} images; the whole data set has {whole}",),
        words="the lists in ImageSets/Segmentation, with JPEGImages and SegmentationClass",
    )


def _home(root: Path) -> Path:
    """The folder VOC2012 itself."""
    require_folder(root)
    for home in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (home / _LISTS).is_dir():
            return home
    raise BadDatasetError(
        f"{root} holds no {_LISTS}. Name the folder VOC2012, which has it beside JPEGImages and SegmentationClass, "
        "or VOCdevkit above it."
    )


@dataclass(frozen=True, slots=True)
class _Files:
    """Pictures and masks by their stem, of whatever image format."""

    home: Path
    images: dict[str, Path]
    masks: dict[str, Path]

    @classmethod
    def of(cls, home: Path) -> _Files:
        images, masks = (_names.images_of(home / name) for name in ("JPEGImages", "SegmentationClass"))
        return cls(home, _names.by_stem(images, "pictures"), _names.by_stem(masks, "masks"))

    def sample(self, name: str) -> Sample:
        key = _names.nfc(name)
        image = self.images.get(key, self.home / "JPEGImages" / f"{name}.jpg")
        return Sample(name, image, self.masks.get(key, self.home / "SegmentationClass" / f"{name}.png"))


def _lists_of(home: Path) -> dict[str, list[str]]:
    """The ids of each list that is there; CVAT's `default.txt` stands for all images."""
    paths = {name: home / _LISTS / f"{name}.txt" for name in ("train", "val", "trainval", "default")}
    return {name: _ids(path) for name, path in paths.items() if path.is_file()}


def _no_images(home: Path, split: Split, lists: dict[str, list[str]]) -> str:
    """What is said of a split without images: which lists there are, and which of them are empty."""
    there = ", ".join(f"{each}.txt ({len(ids)})" for each, ids in lists.items() if ids)
    empty = [f"{each}.txt" for each, ids in lists.items() if not ids]
    said = f"there is {there or 'no list that names any'}{', and empty ' + ', '.join(empty) if empty else ''}"
    cure = "Use the split 'all', or a folder of images to calibrate with."
    if not there:
        cure = "Write one id a line into val.txt."
    return f"{home / _LISTS} lists no images of the split {split!r}; {said}. {cure}"


def _ids(path: Path) -> list[str]:
    """The ids in a list, one a line.

    Raises:
        BadDatasetError: not a list of file names, each named once.
    """

    def is_there(name: str) -> bool:
        return any(_names.in_folder(path.parents[2] / "JPEGImages", f"{name}{suffix}").is_file() for suffix in _USUAL)

    names = _lists.read_names(path, _MAX_LIST_BYTES, is_there)
    for name in names:
        if Path(name).name != name or len(name) > _MAX_ID:
            raise BadDatasetError(f"{path}: {name[:_MAX_ID]!r} is no file name.")
    return names


DATASET: DatasetFormat = ModelFormat(
    open,
    check,
    lambda root: any((home / _LISTS).is_dir() for home in (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")),
    ("VOC2012_DATASETS_PATH", "DATASETS_PATH"),
    protocols=PROTOCOLS,
    survey_for=survey,
)
