"""Data sets with a file of outlines for each picture, whatever tool wrote them: splits, classes and frames.

A tool's plug-in finds the pictures with their files, tells the labels of a file, and paints it; the rest is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from densecast.datasets import _coco_files, _frames
from densecast.datasets._categories import BACKGROUND, UNLABELLED, Values, classes_by_name
from densecast.datasets._coco_joints import fold
from densecast.errors import BadDatasetError, DensecastError
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, LabelMap, Sample, Split, SplitRecord, ids_sha256


@dataclass(frozen=True, slots=True)
class Found:
    """What a tool finds below a root: pictures with their files of outlines, and how it understood the folder.

    `of_split` has the split of each picture's id, None where its folder tells none, `all` for both; `names` are the
    classes in the order of their numbers, empty where files name them themselves. `reading` is what a data file adds
    to; `missing` are places of splits that it names and that do not exist.
    """

    samples: tuple[Sample, ...]
    of_split: dict[str, Split | None]
    names: tuple[str, ...]
    words: tuple[str, ...]
    reading: Reading
    missing: Mapping[Split, Path] = field(default_factory=dict)


class Tool(Protocol):
    """What is particular to the files of one tool."""

    @property
    def name(self) -> str:
        """The data set's name."""

    def find(self, root: Path, reading: Reading) -> Found:
        """The pictures with their files.

        Raises:
            MissingFileError: no such folder or file.
            BadDatasetError, BadConfigError: there are none, or a data file is wrong.
        """

    def labels_in(self, sample: Sample, names: Sequence[str], ignored: frozenset[str]) -> set[str]:
        """The labels that a picture's outlines have; `ignored` are those (folded) that are not evaluated.

        Raises:
            BadDatasetError: the file is damaged, or has an outline that covers no area.
        """

    def paint(self, sample: Sample, value_of: Mapping[str, int]) -> Values:
        """(H, W): the value of the uppermost outline's label, 0 where there is none.

        Raises:
            BadDatasetError: see `labels_in`; or the picture has another size than the one that was drawn on.
            BadImageError: the picture's header cannot be read.
        """


@dataclass(frozen=True, slots=True)
class OutlineFiles:
    """One split; `paint` draws the values of a picture's outlines, `lookup` has the model's class of each value."""

    root: Path
    split: Split
    seed: int | None
    total: int
    samples: tuple[Sample, ...]
    name: str
    words: str
    paint: Callable[[Sample], Values]
    lookup: LabelMap
    use_exif: bool = False
    remarks: tuple[str, ...] = ()

    def read_target(self, sample: Sample) -> LabelMap:
        """(H, W): the model's class indices, 255 (65535 of over 255 classes) where nothing is evaluated.

        Raises:
            BadImageError: the picture's header cannot be read.
            BadDatasetError: an outline that cannot be used, or a picture of another size than the one drawn on.
        """
        labels = self.lookup[self.paint(sample)]
        return _frames.to_frame(labels, sample.image, sample.target, use_exif=self.use_exif)

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit`."""
        some = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(some), self.total, self.seed, ids_sha256(some), self.words)


def open_with(tool: Tool, root: Path, split: Split, seed: int, reading: Reading) -> OutlineFiles:
    """Open a split. Without folders of splits a tenth, drawn by `seed` from the sorted pictures, is for validation.

    Raises:
        MissingFileError: no such folder or file.
        BadDatasetError: nothing of this tool, an empty split, a damaged file, or a label that is none of the model's.
        UsageError: an option that names no label, or no class.
    """
    found = tool.find(root, reading)
    samples, words = found.samples, list(found.words)
    chosen, drawn = _of_split(found, split, seed)
    words += [drawn] if drawn else []
    if not chosen:
        place = found.missing.get(split)
        why = f"; {place}, where the data file says that they are, does not exist" if place is not None else ""
        raise BadDatasetError(
            f"{root}: there are no pictures of the split {split!r}{why}. Use the split 'all'.", field="split"
        )
    wrong = _coco_files.shared(samples)
    if wrong is not None:
        raise wrong
    ignored = frozenset(map(fold, found.reading.options.ignore))
    used: set[str] = set()
    for sample in samples:
        used |= tool.labels_in(sample, found.names, ignored)
    names = found.names or tuple(sorted(used))
    lookup, understood, value_of = _classes(names, used, found.reading, root)
    return OutlineFiles(
        root,
        split,
        seed if drawn else None,
        len(samples),
        chosen,
        tool.name,
        "; ".join((f"{len(samples)} pictures with outlines", *words, *understood)),
        lambda sample: tool.paint(sample, value_of),
        lookup,
        reading.use_exif,
        _coco_files.trained_on(_of_both(found, chosen) if split == "val" else 0, len(chosen)),
    )


def check_with(tool: Tool, root: Path, reading: Reading) -> CheckReport:
    """Every file of outlines, and the size of its picture."""
    reports: list[str] = []
    found = tool.find(root, reading)
    sound: list[Sample] = []
    for sample in found.samples:
        try:
            tool.labels_in(sample, found.names, frozenset(map(fold, found.reading.options.ignore)))
            sound.append(sample)
        except DensecastError as error:
            reports.append(str(error))
    if not reports:
        try:
            opened = open_with(tool, root, "all", 0, reading)
        except DensecastError as error:
            return CheckReport(root, {"images": len(found.samples)}, (str(error),))
        for sample in sound:
            try:
                opened.read_target(sample)
            except DensecastError as error:
                reports.append(str(error))
    return CheckReport(root, {"images": len(found.samples)}, tuple(reports))


def _of_split(found: Found, split: Split, seed: int) -> tuple[tuple[Sample, ...], str]:
    """The pictures of a split, and in words how they were drawn, or which belong to none."""
    told = {each for each in found.of_split.values() if each is not None}
    if split == "all" or not told:
        return _coco_files.chosen(found.samples, found.of_split, split, seed)
    return tuple(sample for sample in found.samples if found.of_split[sample.id] in (split, "all")), ""


def _of_both(found: Found, samples: Sequence[Sample]) -> int:
    """How many of the samples are of both splits."""
    return sum(found.of_split[sample.id] == "all" for sample in samples)


def _classes(
    names: Sequence[str], used: set[str], reading: Reading, root: Path
) -> tuple[LabelMap, tuple[str, ...], dict[str, int]]:
    """The model's class of each value, in words what is left out, and the value of each name; background has 0."""
    named = [name for name in names if fold(name) != fold(BACKGROUND)]
    categories = [{"id": number, "name": name} for number, name in enumerate(named)]
    numbers = {number for number, name in enumerate(named) if name in used}
    lookup, words = classes_by_name(categories, numbers, reading, root)
    return lookup, words, {**dict.fromkeys(names, UNLABELLED), **{name: k for k, name in enumerate(named, start=1)}}
