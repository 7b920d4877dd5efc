"""COCO 2017 keypoints: people in everyday photographs, 17 joints each.

`<split>2017/*.jpg` with `annotations/person_keypoints_<split>2017.json` (https://cocodataset.org). Files of one's own
may have any category, and any joints in any order: they are found by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from densecast.datasets import _coco_annotations, _coco_frames
from densecast.datasets._base import DatasetFormat, ModelFormat
from densecast.errors import BadDatasetError, DensecastError, MissingFileError
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, Sample, Split, SplitRecord, ids_sha256
from densecast.tasks.pose import AnnotatedPoses

# Of no model in particular: all models of people that ship see pictures upright.
_UPRIGHT = Reading(use_exif=True)

IMAGES: dict[Split, int] = {"train": 118_287, "val": 5_000}


@dataclass(frozen=True, slots=True)
class CocoKeypoints:
    """One split of a COCO folder, or both; `people` and `size_hw` hold the annotations by sample id."""

    root: Path
    split: Split
    samples: tuple[Sample, ...]
    people: dict[str, AnnotatedPoses]
    size_hw: dict[str, tuple[int, int]]
    remarks: tuple[str, ...] = ()
    use_exif: bool = True
    name: str = "coco_keypoints"
    _lie: list[_coco_frames.Lie] = field(default_factory=list, compare=False, repr=False)

    def read_target(self, sample: Sample) -> AnnotatedPoses:
        """The people of one image, in the order of the annotation file.

        Raises:
            BadImageError: the image's header cannot be read.
            BadDatasetError: the image's size is not the annotated one, or the joints lie in another frame than the
                one that it is seen in.
        """
        people = self.people[sample.id]
        frames = _coco_frames.Frames.of(sample, self.size_hw[sample.id], use_exif=self.use_exif)
        _coco_frames.require_seen(sample, frames, people, self._lie_of_all, use_exif=self.use_exif)
        return people

    def _lie_of_all(self) -> _coco_frames.Lie:
        """Where all joints lie whose size is swapped; found once, as every image's header is read for it."""
        if not self._lie:
            self._lie.append(
                _coco_frames.lie_of_others(self.samples, self.people, self.size_hw, use_exif=self.use_exif)
            )
        return self._lie[0]

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit`."""
        chosen = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(chosen), len(self.samples), None, ids_sha256(chosen))


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = _UPRIGHT) -> CocoKeypoints:
    """All images of the split's annotation file by ascending id, including those without people.

    A sample's id is the image's with twelve digits, as in COCO's file names. "all" are the splits that are there.
    They are the publisher's: there is nothing for `seed` to draw.

    Raises:
        MissingFileError: no such folder.
        BadDatasetError: not COCO's layout, no annotations of this split, a wrong entry in them, or an image that is
            not there.
    """
    files = _annotation_files(root)
    chosen = files if split == "all" else {name: path for name, path in files.items() if name == split}
    if not chosen:
        there = ", ".join(path.name for path in files.values())
        raise BadDatasetError(
            f"{root}: there are no annotations of the split {split!r}, only {there}. Use the split 'all', or a folder "
            "of images to calibrate with.",
            field="split",
        )
    samples: list[Sample] = []
    people: dict[str, AnnotatedPoses] = {}
    sizes: dict[str, tuple[int, int]] = {}
    remarks: list[str] = []
    for name, path in chosen.items():
        annotations = _coco_annotations.read(path)
        remarks += [f"{path.name}: {remark}" for remark in annotations.remarks]
        for image in annotations.images:
            sample = _sample(root, name, image, path)
            if sample.id in people:
                raise BadDatasetError(f"{root}: image {sample.id} is in both splits.")
            samples.append(sample)
            people[sample.id], sizes[sample.id] = annotations.people[image.id], image.size_hw
    if not samples:
        raise BadDatasetError(f"{root}: the split {split!r} names no images.")
    missing = [sample.image for sample in samples if not sample.image.is_file()]
    if missing:
        raise BadDatasetError(f"{len(missing)} annotated images are not there, the first is {missing[0]}.")
    ordered = tuple(sorted(samples, key=lambda sample: sample.id))
    return CocoKeypoints(root, split, ordered, people, sizes, tuple(remarks), reading.use_exif)


def looks_like(root: Path) -> bool:
    """Whether the folder holds an annotation file of people."""
    return any(path.is_file() for path in _paths(root).values())


def check(root: Path, reading: Reading = _UPRIGHT) -> CheckReport:
    """Every entry of the annotation files, also those that are not used, and every image's size."""
    problems: list[str] = []
    counts: dict[str, int] = {}
    for name, path in _annotation_files(root).items():
        counts[f"{name} images"] = counts[f"{name} people"] = 0
        try:
            document = _coco_annotations.load(path)
        except DensecastError as error:
            problems.append(str(error))
            continue
        counts[f"{name} images"], counts[f"{name} people"] = len(document["images"]), len(document["annotations"])
        wrong = list(_coco_annotations.problems(document))
        problems += [f"{path.name}: {each}" for each in (*wrong, *_coco_annotations.remarks(document))]
        if not wrong:
            problems += _image_problems(root, name, path, _coco_annotations.parse(document), reading)
    there = {name: counts.get(f"{name} images", 0) for name in IMAGES}
    if there != IMAGES:
        present = " and ".join(f"{count} {name}" for name, count in there.items())
        whole = " and ".join(f"{count} {name}" for name, count in IMAGES.items())
        problems.append(f"{present} images; the whole data set has {whole}")
    return CheckReport(root, counts, tuple(problems))


def _annotation_files(root: Path) -> dict[Split, Path]:
    """The annotation file of each split that has one."""
    if not root.is_dir():
        raise MissingFileError(f"data set folder {root} does not exist.")
    existing = {name: path for name, path in _paths(root).items() if path.is_file()}
    if not existing:
        raise BadDatasetError(
            f"{root} holds no annotations/person_keypoints_val2017.json. COCO's layout is <split>2017/*.jpg beside it."
        )
    return existing


def _paths(root: Path) -> dict[Split, Path]:
    return {name: root / "annotations" / f"person_keypoints_{name}2017.json" for name in IMAGES}


def _image_problems(
    root: Path, split: Split, path: Path, annotations: _coco_annotations.Annotations, reading: Reading
) -> list[str]:
    """Images that are missing, unreadable or of another size."""
    samples = tuple(_sample(root, split, image, path) for image in annotations.images)
    sizes = {sample.id: image.size_hw for sample, image in zip(samples, annotations.images, strict=True)}
    people = {sample.id: annotations.people[int(sample.id)] for sample in samples}
    opened = CocoKeypoints(root, split, samples, people, sizes, use_exif=reading.use_exif)
    problems = []
    for sample in samples:
        try:
            opened.read_target(sample)
        except DensecastError as error:
            problems.append(f"image {sample.id}: {error}")
    return problems


def _sample(root: Path, split: Split, image: _coco_annotations.ImageEntry, annotations: Path) -> Sample:
    folders = (root / f"{split}2017", root, root / "images")
    return Sample(f"{image.id:012d}", _coco_annotations.image_path(folders, image.file_name), annotations)


DATASET: DatasetFormat = ModelFormat(open, check, looks_like, ("COCO_DATASETS_PATH",), reading=_UPRIGHT)
