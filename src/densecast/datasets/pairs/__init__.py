"""Anybody's folders of pictures and masks, found by convention or described by a `data.toml` or `data.yaml`.

`root` is a folder or a data file. What is not said is found by usual names (`images/` and `masks/`, `train/` and
`trainannot/`, pictures beside their masks …), and how the folder was understood is kept in the record.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from densecast.datasets import _contents
from densecast.datasets._base import DatasetFormat, ModelFormat
from densecast.datasets._mask_frames import MaskFrames
from densecast.datasets._masks import Values, read_values
from densecast.datasets._survey import Survey
from densecast.datasets.pairs import _folders, _inner, _tables, data_file
from densecast.datasets.pairs._binary import is_binary
from densecast.datasets.pairs._configured import CONFIGURED
from densecast.datasets.pairs._everything import Everything, everything_in
from densecast.datasets.pairs._folders import pictures_beside as pictures_beside
from densecast.datasets.pairs._layers import Layers
from densecast.datasets.pairs._matching import cure_of
from densecast.datasets.pairs._splits import chosen
from densecast.datasets.pairs.classes import Classes, classes_of
from densecast.datasets.pairs.data_file import DataFile
from densecast.datasets.pairs.data_file import files_root as files_root
from densecast.errors import BadDatasetError, DensecastError
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, LabelMap, Sample, Split, SplitRecord, ids_sha256


@dataclass(frozen=True, slots=True)
class Pairs:
    """One split of a user's folders; `words` say how they were understood."""

    root: Path
    split: Split
    seed: int | None
    total: int
    samples: tuple[Sample, ...]
    classes: Classes
    words: str
    frames: MaskFrames = field(compare=False, repr=False)
    name: str = "pairs"
    layers: Layers | None = None
    of_splits: tuple[str, ...] = ()

    def read_target(self, sample: Sample) -> LabelMap:
        """(H, W) uint8: the model's class indices, 255 where nothing is evaluated.

        Raises:
            BadImageError: the mask cannot be read, or holds colours that nothing explains.
            BadDatasetError: its size is not its image's, or it holds a value that is no class.
        """
        if self.layers is None:
            labels = self.classes.label_map(sample.target)
        else:
            values = self.layers.values(sample, self.classes.colours.nearest)
            labels = self.classes.of_values(values, sample.target)
        return self.frames.brought(labels, sample)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the splits, and the masks that were read, leave open."""
        return (*self.of_splits, *self.frames.remarks)

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit`."""
        some = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(some), self.total, self.seed, ids_sha256(some), self.words)


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = Reading()) -> Pairs:
    """The split's samples, sorted by id: their path below the pictures' folder, without suffix.

    Splits are those of the data file, of folders or lists called train and val; else a tenth of all pictures, drawn by
    numpy's PCG64 with `seed` from the sorted ids, is for validation.

    Raises:
        MissingFileError: no such folder or file.
        UsageError: a data file or options that are wrong.
        BadDatasetError: no pairs, pictures without a mask, or none of this split.
    """
    everything = everything_in(root, reading)
    if everything.without_mask:
        first = everything.without_mask[0]
        cure = cure_of(first, everything.found.parts, everything.root)
        raise BadDatasetError(
            f"{len(everything.without_mask)} of {len(everything.samples) + len(everything.without_mask)} pictures have "
            f"no mask, the first is {first}{cure}, or list the "
            "pictures that have one in val.txt."
            f"{'' if everything.samples else _contents.of_folder(everything.root)}",
            field="masks_dir" if "--masks-dir" in cure else "suffix",
        )
    classes, words = _classes(everything, reading)
    selection = chosen(everything.root, everything.file, everything.found, everything.parts, split, seed)
    understood = "; ".join([everything.found.words, everything.rule, selection.words, *words])
    if everything.file.file is not None:
        understood = f"as {everything.file.file.name} says: {understood}"
    drawn, name = seed if selection.drawn else None, reading.options.dataset or "pairs"
    if name in CONFIGURED:
        understood = f"{name}: {understood}"
    frames = MaskFrames(everything.samples, use_exif=reading.use_exif)
    opened = Pairs(everything.root, split, drawn, selection.total, selection.samples, classes, understood, frames)
    return replace(opened, name=name, layers=everything.layers, of_splits=selection.remarks)


def check(root: Path, reading: Reading = Reading()) -> CheckReport:
    """Pairs, sizes and values of the whole folder."""
    everything = everything_in(root, reading)
    problems = [f"{path} has no mask" for path in everything.without_mask]
    problems += [f"{path} has no picture" for path in everything.without_image]
    samples = everything.samples
    opened = _whole(everything, _classes(everything, reading)[0], reading)
    for sample in samples:
        try:
            opened.read_target(sample)
        except DensecastError as error:
            problems.append(str(error))
    pairs, alone = len(samples), (len(everything.without_mask), len(everything.without_image))
    counts = {"images": pairs + alone[0], "masks": pairs + alone[1], "pairs": pairs}
    return CheckReport(root, counts, tuple(problems))


def survey(root: Path, reading: Reading = Reading()) -> Survey:
    """All pairs with the splits they are of, and pictures and masks that have no partner."""
    everything = everything_in(root, reading)
    classes, words = _classes(everything, reading)
    samples = everything.samples
    opened = _whole(everything, classes, reading)
    splits: dict[Split, frozenset[str]] = {}
    problems: list[str] = []
    remarks: list[str] = []
    told = ""
    for split in ("train", "val"):
        try:
            selection = chosen(everything.root, everything.file, everything.found, everything.parts, split, 0)
        except BadDatasetError as error:
            # A split that is empty is no fault of those that are not; a list of what is not there is.
            if samples:
                (remarks if error.field == "split" else problems).append(str(error))
            continue
        told = selection.words
        if not selection.drawn:
            splits[split] = frozenset(sample.id for sample in selection.samples)

    def values(sample: Sample) -> tuple[Values, dict[int, int]]:
        if everything.layers is not None:
            return everything.layers.values(sample, classes.colours.nearest), classes.table
        return read_values(sample.target, classes.colours)[0], classes.table

    named = [f"as {everything.file.file.name} says"] if everything.file.file is not None else []
    return Survey(
        samples,
        opened.read_target,
        splits,
        values,
        reading.labels or classes.names,
        everything.without_mask,
        everything.without_image,
        tuple(dict.fromkeys(problems)),
        tuple(remarks),
        words="; ".join(each for each in (*named, everything.found.words, everything.rule, told, *words) if each),
    )


def _whole(everything: Everything, classes: Classes, reading: Reading) -> Pairs:
    samples = everything.samples
    frames = MaskFrames(samples, use_exif=reading.use_exif)
    return Pairs(everything.root, "all", None, len(samples), samples, classes, "", frames, layers=everything.layers)


def looks_like(root: Path) -> bool:
    """Whether this is a data file, holds one, or has folders of pictures and masks."""
    if data_file.find(root) is not None:
        return True
    home = _inner.inner(root)
    try:
        _folders.find(home, DataFile(home))
    except DensecastError:
        # Tables are read last: they may be long.
        return home.is_dir() and bool(_tables.lone(home))
    return True


def metric_of(root: Path) -> str | None:
    """The metric that the data file of `root` names."""
    path = data_file.find(root)
    return data_file.read(path).metric if path is not None else None


def _classes(everything: Everything, reading: Reading) -> tuple[Classes, tuple[str, ...]]:
    file, words = everything.file, [*everything.tables]
    reduce_zero = bool(file.reduce_zero_label)
    if file.reduce_zero_label is None and everything.found.is_ade20k and len(reading.labels) == 150:
        reduce_zero = True
        words.append("ADE20K's masks")
    binary = everything.layers is None and is_binary(everything.samples, file, reading)
    classes = classes_of(file, reading, everything.root, reduce_zero=reduce_zero, binary=binary)
    return classes, (*words, *classes.words)


FORMAT = ModelFormat(
    open,
    check,
    looks_like,
    ("PAIRS_DATASETS_PATH",),
    options=frozenset(
        ("images_dir", "masks_dir", "suffix", "colours", "ignore", "remap", "subset", "reduce_zero_label", "soft_masks")
    ),
    survey_for=survey,
)
DATASET: DatasetFormat = FORMAT
