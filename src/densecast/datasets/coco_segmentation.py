"""COCO's instance, stuff and panoptic files as label maps: one's own, or COCO's.

See `_coco_files` for the layouts; panoptic PNGs lie in a folder that is called as their file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from densecast.datasets import _coco_annotations, _coco_files, _coco_labels, _coco_outlines, _frames
from densecast.datasets._base import DatasetFormat, ModelFormat
from densecast.datasets._coco_annotations import ImageEntry
from densecast.datasets._coco_files import CocoFile
from densecast.datasets._coco_labels import Labels
from densecast.errors import BadDatasetError, DensecastError
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, LabelMap, Sample, Split, SplitRecord, ids_sha256

_EXAMPLE = "instances_<split>.json, panoptic_<split>.json"


@dataclass(frozen=True, slots=True)
class CocoSegmentation:
    """One split; `entries` are the labels and image entry of each sample, `words` say how all was understood."""

    root: Path
    split: Split
    seed: int | None
    total: int
    samples: tuple[Sample, ...]
    entries: dict[str, tuple[Labels, ImageEntry]]
    words: str
    use_exif: bool = False
    name: str = "coco_segmentation"
    _turned: list[bool] = field(default_factory=list, compare=False, repr=False)

    def read_target(self, sample: Sample) -> LabelMap:
        """(H, W): the model's class indices, 255 (65535 of over 255 classes) where nothing is evaluated.

        Raises:
            BadImageError: the image's header or the panoptic PNG cannot be read.
            BadDatasetError: the annotated size is not the image's, or an annotation cannot be used.
        """
        labels, image = self.entries[sample.id]
        if labels.is_panoptic:
            found = labels.panoptic(image, sample.target)
        else:
            found = labels.instances(image, is_turned=self._is_turned(sample))
        return _frames.to_frame(found, sample.image, sample.target, use_exif=self.use_exif)

    def _is_turned(self, sample: Sample) -> bool:
        """Whether outlines are drawn in the other frame of a picture with an orientation tag than the annotated one.

        Where an image's own outlines do not tell, those of the other such images do, if they agree.
        """
        stored, upright = _frames.sizes_hw(sample.image)
        if stored == upright:
            return False
        labels, image = self.entries[sample.id]
        own = _coco_outlines.is_turned(image, labels.of_image[image.id])
        return own if own is not None else self._others_are_turned()

    def _others_are_turned(self) -> bool:
        if not self._turned:
            told: set[bool | None] = set()
            for sample in self.samples:
                labels, image = self.entries[sample.id]
                try:
                    stored, upright = _frames.sizes_hw(sample.image)
                except DensecastError:  # it is named when it is read
                    continue
                if stored != upright:
                    told.add(_coco_outlines.is_turned(image, labels.of_image[image.id]))
            self._turned.append(told - {None} == {True})
        return self._turned[0]

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit`."""
        some = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(some), self.total, self.seed, ids_sha256(some), self.words)


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = Reading()) -> CocoSegmentation:
    """The split's images by ascending id: COCO's, twelve digits, after the split where files have the same numbers.

    A file whose name tells no split is divided: a tenth, drawn by numpy's PCG64 with `seed` from the sorted ids, is for
    validation.

    Raises:
        MissingFileError: no such folder or file.
        BadDatasetError: no annotation file, several for one split, a wrong entry, an image that is not there, or a
            category that is none of the model's.
        MissingExtraError: there are polygons, and pycocotools is not installed.
    """
    reading = _coco_files.described(root, reading)
    files = _coco_files.files(root, _coco_files.LABELS, _EXAMPLE)
    entries: dict[str, tuple[Labels, ImageEntry]] = {}
    of_split: dict[str, Split | None] = {}
    samples: list[Sample] = []
    words: list[str] = []
    parsed: list[tuple[CocoFile, Labels]] = []
    for file in files:
        if file.split not in (split, None) and split != "all":
            continue
        labels, understood = _coco_labels.parse(_coco_annotations.load(file.path), file.path, reading)
        words += [f"{file.path.name} ({len(labels.images)} images)", *understood]
        parsed.append((file, labels))
    prefixes = _coco_files.prefixes([(file, [image.id for image in labels.images]) for file, labels in parsed])
    for (file, labels), prefix in zip(parsed, prefixes, strict=True):
        for image in labels.images:
            sample = _sample(file, labels, image, prefix)
            samples.append(sample)
            entries[sample.id], of_split[sample.id] = (labels, image), file.split
    samples.sort(key=lambda sample: sample.id)
    chosen, drawn = _coco_files.chosen(samples, of_split, split, seed)
    words += [drawn] if drawn else []
    if not chosen:
        there = ", ".join(file.path.name for file in files)
        raise BadDatasetError(
            f"{root}: there are no images of the split {split!r} in {there}. Use the split 'all'.", field="split"
        )
    first = next(file for file in files if file.split in (split, None) or split == "all")
    wrong = _coco_files.missing(chosen, first) or _coco_files.shared(samples)
    if wrong is not None:
        raise wrong
    understood_all = "; ".join(dict.fromkeys(words))
    return CocoSegmentation(
        root, split, seed if drawn else None, len(samples), chosen, entries, understood_all, reading.use_exif
    )


def check(root: Path, reading: Reading = Reading()) -> CheckReport:
    """Every entry of the annotation files, and every image's size and outlines."""
    reports: list[str] = []
    count = 0
    reading = _coco_files.described(root, reading)
    for file in _coco_files.files(root, _coco_files.LABELS, _EXAMPLE):
        try:
            document = _coco_annotations.load(file.path)
            wrong = [f"{file.path.name}: {each}" for each in _coco_labels.problems(document)]
            reports += wrong
            if wrong:
                continue
            labels, _ = _coco_labels.parse(document, file.path, reading)
        except DensecastError as error:
            reports.append(str(error))
            continue
        samples = tuple(_sample(file, labels, image) for image in labels.images)
        entries = {each.id: (labels, image) for each, image in zip(samples, labels.images, strict=True)}
        opened = CocoSegmentation(root, "all", None, len(samples), samples, entries, "", reading.use_exif)
        count += len(samples)
        for sample in samples:
            try:
                opened.read_target(sample)
            except DensecastError as error:
                reports.append(f"image {sample.id}: {error}")
    return CheckReport(root, {"images": count}, tuple(reports))


def looks_like(root: Path) -> bool:
    """Whether this is an annotation file of COCO, or a folder that holds some; people's key points are none."""
    return _coco_files.looks_like(root, _coco_files.LABELS)


def _sample(file: CocoFile, labels: Labels, image: ImageEntry, prefix: str = "") -> Sample:
    target = file.path
    if labels.is_panoptic:
        target = _coco_annotations.image_path((file.path.with_suffix(""), file.path.parent), labels.png_of(image.id))
    return Sample(f"{prefix}{image.id:012d}", file.image(image.file_name), target)


DATASET: DatasetFormat = ModelFormat(
    open,
    check,
    looks_like,
    ("COCO_SEGMENTATION_DATASETS_PATH",),
    options=frozenset(("ignore", "remap", "subset")),
)
