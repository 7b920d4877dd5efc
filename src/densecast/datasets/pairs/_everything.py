"""Joins what lies in a data set's folder: the parts with their pictures, masks, and what has no partner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from densecast.datasets import _contents
from densecast.datasets.pairs import (
    _configured_layout,
    _folders,
    _inner,
    _layers,
    _name_tables,
    _tables,
    colour_tables,
    data_file,
)
from densecast.datasets.pairs._configured import CONFIGURED
from densecast.datasets.pairs._layers import Layers
from densecast.datasets.pairs._matching import Matched, match
from densecast.datasets.pairs._split_names import is_list
from densecast.datasets.pairs.data_file import DataFile
from densecast.errors import BadDatasetError
from densecast.spec.data_layout import DataLayout
from densecast.spec.data_options import Reading
from densecast.spec.sample import Sample, Split


@dataclass(frozen=True, slots=True)
class Everything:
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


def everything_in(root: Path, reading: Reading) -> Everything:
    """All pairs of a root, which is a folder, a data file, or a table of pictures and masks.

    Raises:
        MissingFileError, BadDatasetError, UsageError: nothing of the kind, or something named that is not there.
    """
    file, layout = _file(root, reading)
    found, listed = _found(file, layout)
    file, tables = _name_tables.with_found(file, reading)
    matched = listed or [match(part, file.suffix, file.image_suffix) for part in found.parts]
    layers = None
    if not listed and file.suffix is None and not any(each.pairs for each in matched):
        by_class = _layers.find(found.parts, file.root, reading.labels or file.names)
        if by_class is not None:
            matched, layers = by_class
            file, tables = _layers.with_names(file, layers, reading), ()
    parts = tuple((part.split, each.pairs) for part, each in zip(found.parts, matched, strict=True))
    # Lists name what is meant: of VOC's pictures most have no mask, and are for other tasks.
    has_lists = any(isinstance(place, str) and is_list(place) for place in (file.train, file.val))
    if not any(samples for _, samples in parts) and not any(each.without_mask for each in matched):
        raise BadDatasetError(
            f"{file.root} holds no pictures with masks ({found.words}).{_contents.of_folder(file.root)}"
        )
    return Everything(
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


def _found(file: DataFile, layout: DataLayout | None) -> tuple[_folders.Found, list[Matched]]:
    """The parts, and of a table their pairs: of the one that was named, or of a folder in which nothing else tells."""
    if file.table is not None:
        return _tables.pairs_of({file.table: None}, file.root)
    try:
        return _configured_layout.found(layout, file), []
    except BadDatasetError:
        is_plain = layout is None and not file.given and file.images is None and file.masks is None
        tables = _tables.lone(file.root) if is_plain and file.root.is_dir() else {}
        if not tables:
            raise
        return _tables.pairs_of(tables, file.root)


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
