"""Folders that a model's own configuration names: used where they are below the root and nothing else is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from densecast.datasets.pairs import _folders
from densecast.datasets.pairs._folders import Found, Part
from densecast.datasets.pairs._splits import named_parts
from densecast.datasets.pairs.data_file import DataFile
from densecast.errors import MissingFileError
from densecast.spec.data_layout import DataLayout, SplitFolders
from densecast.spec.data_options import Reading
from densecast.spec.sample import Split


def applicable(file: DataFile, reading: Reading) -> DataLayout | None:
    """The configuration's folders below the root, if any are there; None where the user names folders or lists.

    Raises:
        MissingFileError: pictures are there, but not their masks or their list.
    """
    options, layout = reading.options, reading.layout
    said = file.file is not None or options.images_dir or options.masks_dir or file.train or file.val
    if layout is None or said:
        return None
    there = tuple(each for each in layout.splits if (file.root / each.images).is_dir())
    for each in there:
        for what, name in (("masks", each.masks), ("list", each.names)):
            if name is not None and not (file.root / name).exists():
                raise MissingFileError(
                    f"{file.root} has {each.images}, as the model's configuration says, but not its {what}, {name}. "
                    "Name the folders with --images-dir and --masks-dir.",
                    field="data",
                )
    return replace(layout, splits=there) if there else None


def over(layout: DataLayout, file: DataFile) -> DataFile:
    """The data file with what the configuration says of names and values."""
    lists = {each.split: each.names for each in layout.splits if each.names is not None}
    return replace(
        file,
        suffix=layout.suffix if file.suffix is None else file.suffix,
        image_suffix=file.image_suffix or layout.image_suffix,
        reduce_zero_label=layout.reduce_zero_label if file.reduce_zero_label is None else file.reduce_zero_label,
        train=lists.get("train"),
        val=lists.get("val"),
    )


def found(layout: DataLayout | None, file: DataFile) -> Found:
    """The parts of the splits: the layout's, else those that the file names, else what conventions find.

    Splits of one folder, told apart by their lists, are one part.
    """
    if layout is None:
        return named_parts(file) or _folders.find(file.root, file)
    by_folder: dict[tuple[str, str], list[SplitFolders]] = {}
    for each in layout.splits:
        by_folder.setdefault((each.images, each.masks), []).append(each)
    parts = []
    for (images, masks), splits in by_folder.items():
        split: Split | None = splits[0].split if len(splits) == 1 and splits[0].names is None else None
        prefix = f"{splits[0].split}/" if len(by_folder) > 1 else ""
        parts.append(Part(_below(file.root, images), _below(file.root, masks), split, prefix))
    words = ", ".join(f"{images} with {masks}" for images, masks in by_folder)
    return Found(tuple(parts), f"as the model's configuration says: {words}")


def _below(root: Path, name: str) -> Path:
    return root / name if name != "." else root
