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
from densecast.datasets.pairs import (
    _configured_layout,
    _folders,
    _inner,
    _layers,
    _name_tables,
    colour_tables,
    data_file,
)
from densecast.datasets.pairs._binary import is_binary
from densecast.datasets.pairs._configured import CONFIGURED
from densecast.datasets.pairs._folders import pictures_beside as pictures_beside
from densecast.datasets.pairs._layers import Layers
from densecast.datasets.pairs._matching import cure_of, match
from densecast.datasets.pairs._splits import chosen
from densecast.datasets.pairs.classes import Classes, classes_of
from densecast.datasets.pairs.data_file import DataFile
from densecast.datasets.pairs.data_file import files_root as files_root
from densecast.errors import BadDatasetError, DensecastError
from densecast.spec.data_layout import DataLayout
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


@dataclass(frozen=True, slots=True)
class _Everything:
    """All pairs of a root, by part, with what has no partner."""

    root: Path
    file: DataFile
    found: _folders.Found
    parts: tuple[tuple[Split | None, tuple[Sample, ...]], ...]
    without_mask: tuple[Path, ...]
    without_image: tuple[Path, ...]
    rule: str
    tables: tuple[str, ...] = ()
    layers: Layers | None = None

    @property
    def samples(self) -> tuple[Sample, ...]:
        return tuple(sample for _, samples in self.parts for sample in samples)


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = Reading()) -> Pairs:
    """The split's samples, sorted by id: their path below the pictures' folder, without suffix.

    Splits are those of the data file, of folders or lists called train and val; else a tenth of all pictures, drawn by
    numpy's PCG64 with `seed` from the sorted ids, is for validation.

    Raises:
        MissingFileError: no such folder or file.
        UsageError: a data file or options that are wrong.
        BadDatasetError: no pairs, pictures without a mask, or none of this split.
    """
    everything = _everything(root, reading)
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
    everything = _everything(root, reading)
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
    everything = _everything(root, reading)
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


def _whole(everything: _Everything, classes: Classes, reading: Reading) -> Pairs:
    samples = everything.samples
    frames = MaskFrames(samples, use_exif=reading.use_exif)
    return Pairs(everything.root, "all", None, len(samples), samples, classes, "", frames, layers=everything.layers)


def looks_like(root: Path) -> bool:
    """Whether this is a data file, holds one, or has folders of pictures and masks."""
    if data_file.find(root) is not None:
        return True
    try:
        home = _inner.inner(root)
        _folders.find(home, DataFile(home))
    except DensecastError:
        return False
    return True


def metric_of(root: Path) -> str | None:
    """The metric that the data file of `root` names."""
    path = data_file.find(root)
    return data_file.read(path).metric if path is not None else None


def _everything(root: Path, reading: Reading) -> _Everything:
    file, layout = _file(root, reading)
    found = _configured_layout.found(layout, file)
    file, tables = _name_tables.with_found(file, reading)
    matched = [match(part, file.suffix, file.image_suffix) for part in found.parts]
    layers = None
    if file.suffix is None and not any(each.pairs for each in matched):
        by_class = _layers.find(found.parts, file.root, reading.labels or file.names)
        if by_class is not None:
            matched, layers = by_class
            file, tables = _layers.with_names(file, layers, reading), ()
    parts = tuple((part.split, each.pairs) for part, each in zip(found.parts, matched, strict=True))
    # Lists name what is meant: of VOC's pictures most have no mask, and are for other tasks.
    has_lists = any(isinstance(place, str) and place.endswith(".txt") for place in (file.train, file.val))
    if not any(samples for _, samples in parts) and not any(each.without_mask for each in matched):
        raise BadDatasetError(
            f"{file.root} holds no pictures with masks ({found.words}).{_contents.of_folder(file.root)}"
        )
    return _Everything(
        file.root,
        file,
        found,
        parts,
        () if has_lists else tuple(path for each in matched for path in each.without_mask),
        tuple(path for each in matched for path in each.without_image),
        matched[0].rule,
        tables,
        layers,
    )


def _file(root: Path, reading: Reading) -> tuple[DataFile, DataLayout | None]:
    """The data file of `root`, or an empty one, with the options over it and the table of colours that lies there.

    With it the folders of the model's own configuration, where these are meant.
    """
    options = reading.options
    if options.images_dir is None and options.masks_dir is None and options.dataset not in CONFIGURED:
        root = root if reading.layout is not None else _inner.inner(root)
    path = data_file.find(root)
    file = data_file.read(path) if path is not None else DataFile(root)
    if file.coco:
        raise BadDatasetError(f"{path} names a file of COCO's: leave --dataset out, or say coco_segmentation.")
    file = replace(
        file,
        images=options.images_dir or file.images,
        masks=options.masks_dir or file.masks,
        suffix=options.suffix if options.suffix is not None else file.suffix,
        reduce_zero_label=options.reduce_zero_label or file.reduce_zero_label,
    )
    layout = _configured_layout.applicable(file, reading)
    if layout is not None:
        file = _configured_layout.over(layout, file)
    if (configured := CONFIGURED.get(options.dataset or "")) is not None:
        file = configured.over(file)
    if not file.colours and not file.model_colours and options.colours is None and file.root.is_dir():
        file = replace(file, colours=colour_tables.found_in(file.root))
    return file, layout


def _classes(everything: _Everything, reading: Reading) -> tuple[Classes, tuple[str, ...]]:
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
