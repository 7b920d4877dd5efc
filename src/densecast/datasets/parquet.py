"""Parquet files in Hugging Face's form: a column of images and one of masks, with splits by the files' names.

They are unpacked into the cache once, and then read as folders of pictures and masks (`pairs`) are, with all its
options; `images_dir` and `masks_dir` name the columns.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from densecast.datasets import _parquet_files, pairs
from densecast.datasets._base import DatasetFormat, ModelFormat
from densecast.datasets._parquet_files import Unpacked
from densecast.datasets._survey import Survey
from densecast.datasets.pairs import Pairs
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, Split


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = Reading()) -> Pairs:
    """The split's samples by the images' names, or the numbers of their rows.

    Files called `validation-…` are the split val; without such a tenth is drawn, as from folders.

    Raises:
        MissingFileError, MissingExtraError, BadDatasetError: see `_parquet_files.unpack` and `pairs.open`.
    """
    unpacked, reading = _unpacked(root, reading)
    opened = pairs.open(_home(unpacked), split, seed, reading)
    return replace(opened, root=root, name="parquet", words=f"{unpacked.words}; {opened.words}")


def check(root: Path, reading: Reading = Reading()) -> CheckReport:
    """Sizes and values of all rows."""
    unpacked, reading = _unpacked(root, reading)
    return replace(pairs.check(_home(unpacked), reading), root=root)


def survey(root: Path, reading: Reading = Reading()) -> Survey:
    """All rows with the splits they are of."""
    unpacked, reading = _unpacked(root, reading)
    found = pairs.survey(_home(unpacked), reading)
    return replace(found, words=f"{unpacked.words}; {found.words}")


def looks_like(root: Path) -> bool:
    """Whether this is a Parquet file, or a folder with such files in it or in its `data/`."""
    return bool(_parquet_files.files_in(root))


def _unpacked(root: Path, reading: Reading) -> tuple[Unpacked, Reading]:
    options = reading.options
    unpacked = _parquet_files.unpack(root, options.images_dir, options.masks_dir)
    return unpacked, replace(reading, options=replace(options, images_dir=None, masks_dir=None))


def _home(unpacked: Unpacked) -> Path:
    return unpacked.folder / "all" if unpacked.splits == ("all",) else unpacked.folder


DATASET: DatasetFormat = ModelFormat(
    open,
    check,
    looks_like,
    ("PARQUET_DATASETS_PATH",),
    options=frozenset(("images_dir", "masks_dir", "colours", "ignore", "remap", "subset", "reduce_zero_label")),
    survey_for=survey,
)
