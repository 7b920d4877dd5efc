"""COCO 2017 keypoints: people in everyday photographs, 17 joints each.

`<split>2017/*.jpg` with `annotations/person_keypoints_<split>2017.json` (https://cocodataset.org). Files of one's own
may have any category, and any joints in any order: they are found by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from densecast.datasets import _coco_annotations, _coco_files, _coco_frames
from densecast.datasets._base import DatasetFormat, ModelFormat
from densecast.datasets._coco_files import CocoFile
from densecast.errors import BadDatasetError, DensecastError
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, Sample, Split, SplitRecord, ids_sha256
from densecast.tasks.pose import AnnotatedPoses
from densecast.tasks.pose.coco_person import JOINTS

# Of no model in particular: all models of people that ship see pictures upright.
_UPRIGHT = Reading(use_exif=True)

_EXAMPLE = "person_keypoints_<split>.json"
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
    seed: int | None = None
    total: int | None = None
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
        total = len(self.samples) if self.total is None else self.total
        return SplitRecord(self.name, self.split, len(chosen), total, self.seed, ids_sha256(chosen))


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = _UPRIGHT) -> CocoKeypoints:
    """All images of the split's annotation file by ascending id, including those without people.

    A sample's id is the image's with twelve digits, as in COCO's file names, after its split where the files of
    several have the same numbers. "all" are the splits that are there.
    Splits are those of the files' names; a file whose name tells none is divided, see `_coco_files.chosen`.

    Raises:
        MissingFileError: no such folder or file.
        BadDatasetError: not COCO's layout, no annotations of this split, a wrong entry in them, or an image that is
            not there.
    """
    files = _coco_files.files(root, _coco_files.KEYPOINTS, _EXAMPLE)
    wanted = [file for file in files if split == "all" or file.split in (split, None)]
    if not wanted:
        there = ", ".join(file.path.name for file in files)
        raise BadDatasetError(
            f"{root}: there are no annotations of the split {split!r}, only {there}. Use the split 'all', or a folder "
            "of images to calibrate with.",
            field="split",
        )
    samples: list[Sample] = []
    people: dict[str, AnnotatedPoses] = {}
    sizes: dict[str, tuple[int, int]] = {}
    of_split: dict[str, Split | None] = {}
    remarks: list[str] = []
    parsed = [(file, _coco_annotations.read(file.path, reading.joints or JOINTS)) for file in wanted]
    prefixes = _coco_files.prefixes([(file, [image.id for image in each.images]) for file, each in parsed])
    for (file, found), prefix in zip(parsed, prefixes, strict=True):
        remarks += [f"{file.path.name}: {remark}" for remark in found.remarks]
        for image in found.images:
            sample = _sample(file, image, prefix)
            samples.append(sample)
            people[sample.id], sizes[sample.id] = found.people[image.id], image.size_hw
            of_split[sample.id] = file.split
    samples.sort(key=lambda sample: sample.id)
    total = len(samples)
    chosen, drawn = _coco_files.chosen(samples, of_split, split, seed)
    if not chosen:
        raise BadDatasetError(f"{root}: the split {split!r} names no images.")
    wrong = _coco_files.missing(chosen, wanted[0]) or _coco_files.shared(samples)
    if wrong is not None:
        raise wrong
    remarks += [drawn] if drawn else []
    return CocoKeypoints(
        root, split, chosen, people, sizes, tuple(remarks), reading.use_exif, seed if drawn else None, total
    )


def looks_like(root: Path) -> bool:
    """Whether this is an annotation file, a data file that names one, or a folder that holds one of people."""
    return _coco_files.looks_like(root, _coco_files.KEYPOINTS)


def check(root: Path, reading: Reading = _UPRIGHT) -> CheckReport:
    """Every entry of the annotation files, also those that are not used, and every image's size."""
    joints = reading.joints or JOINTS
    problems: list[str] = []
    counts: dict[str, int] = {}
    for file in _coco_files.files(root, _coco_files.KEYPOINTS, _EXAMPLE):
        name, path = file.split or "all", file.path
        counts[f"{name} images"] = counts[f"{name} people"] = 0
        try:
            document = _coco_annotations.load(path)
        except DensecastError as error:
            problems.append(str(error))
            continue
        counts[f"{name} images"], counts[f"{name} people"] = len(document["images"]), len(document["annotations"])
        wrong = list(_coco_annotations.problems(document, joints))
        problems += [f"{path.name}: {each}" for each in (*wrong, *_coco_annotations.remarks(document, joints))]
        if not wrong:
            problems += _image_problems(root, file, _coco_annotations.parse(document, joints), reading)
    there = {name: counts.get(f"{name} images", 0) for name in IMAGES}
    if there != IMAGES:
        present = " and ".join(f"{count} {name}" for name, count in there.items())
        whole = " and ".join(f"{count} {name}" for name, count in IMAGES.items())
        problems.append(f"{present} images; the whole data set has {whole}")
    return CheckReport(root, counts, tuple(problems))


def _image_problems(
    root: Path, file: CocoFile, annotations: _coco_annotations.Annotations, reading: Reading
) -> list[str]:
    """Images that are missing, unreadable or of another size."""
    samples = tuple(_sample(file, image) for image in annotations.images)
    sizes = {sample.id: image.size_hw for sample, image in zip(samples, annotations.images, strict=True)}
    people = {sample.id: annotations.people[int(sample.id)] for sample in samples}
    opened = CocoKeypoints(root, "all", samples, people, sizes, use_exif=reading.use_exif)
    problems = []
    for sample in samples:
        try:
            opened.read_target(sample)
        except DensecastError as error:
            problems.append(f"image {sample.id}: {error}")
    return problems


def _sample(file: CocoFile, image: _coco_annotations.ImageEntry, prefix: str = "") -> Sample:
    return Sample(f"{prefix}{image.id:012d}", file.image(image.file_name), file.path)


DATASET: DatasetFormat = ModelFormat(
    open, check, looks_like, ("COCO_DATASETS_PATH",), reading=_UPRIGHT, truth_of=frozenset(("xy_px",))
)
