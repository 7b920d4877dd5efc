"""Reads where a configuration's data lie: folders, lists and endings, below the root that `--data` names later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

from densecast.spec.data_layout import DataLayout, SplitFolders

_Split = Literal["train", "val"]
# Where nothing says so, as the original's base class has it.
_IMAGES, _MASKS = ".jpg", ".png"
_DEPTH = 60  # of brackets in a configuration's text


def layout_of(config: Mapping[str, Any], zero: bool | None) -> DataLayout | None:
    """The folders of training and validation, None where the configuration does not name pictures and masks.

    Of several folders of one split only the first is taken. Tests stand for validation where both are named.
    """
    found: list[tuple[_Split, Mapping[str, Any], tuple[str, str, str | None]]] = []
    for split, tables in _tables(config).items():
        for table in tables:
            named = _folders(table)
            if named is not None:
                found.append((split, table, named))
                break
    if not found:
        return None
    suffixes = {(str(t.get("seg_map_suffix", _MASKS)), str(t.get("img_suffix", _IMAGES))) for _, t, _ in found}
    if len(suffixes) != 1:
        return None  # names of one kind for training and another for tests cannot be told in one rule
    ((suffix, image_suffix),) = suffixes
    relative = _below_one_root([named for *_, named in found], [table for _, table, _ in found])
    if relative is None:
        return None
    splits = tuple(
        SplitFolders(split, images, masks, names)
        for (split, *_), (images, masks, names) in zip(found, relative, strict=True)
    )
    stem = image_suffix[: -len(PurePosixPath(image_suffix).suffix)] if "." in image_suffix else image_suffix
    return DataLayout(splits, suffix, stem, zero)


def _tables(config: Mapping[str, Any]) -> dict[_Split, list[Mapping[str, Any]]]:
    data = config.get("data")
    old = data if isinstance(data, Mapping) else {}
    names: dict[_Split, tuple[str, ...]] = {"val": ("test", "val"), "train": ("train",)}
    tables: dict[_Split, list[Mapping[str, Any]]] = {"val": [], "train": []}
    for split, kinds in names.items():
        for kind in kinds:
            loader = config.get(f"{kind}_dataloader")
            for table in (old.get(kind), loader.get("dataset") if isinstance(loader, Mapping) else None):
                inner = unwrapped(table)
                if inner is not None:
                    tables[split].append(inner)
    return tables


def unwrapped(value: Any) -> Mapping[str, Any] | None:
    """The table of a data set itself: within those that repeat or join others, and in lists, the first."""
    for _ in range(_DEPTH):
        if isinstance(value, (list, tuple)):
            value = value[0] if value else None
        elif isinstance(value, Mapping) and isinstance(value.get("dataset"), (Mapping, list, tuple)):
            value = value["dataset"]
        elif isinstance(value, Mapping) and isinstance(value.get("datasets"), (list, tuple)):
            value = value["datasets"]
        else:
            return value if isinstance(value, Mapping) else None
    return None


def _folders(table: Mapping[str, Any]) -> tuple[str, str, str | None] | None:
    """Pictures, masks and the list of one data set, as they are written."""
    prefix = table.get("data_prefix")
    new = prefix if isinstance(prefix, Mapping) else {}
    images, masks = table.get("img_dir", new.get("img_path")), table.get("ann_dir", new.get("seg_map_path"))
    names = table.get("split", table.get("ann_file")) or None
    first = [each[0] if isinstance(each, (list, tuple)) and each else each for each in (images, masks, names)]
    if not isinstance(first[0], str) or not isinstance(first[1], str):
        return None
    return first[0], first[1], first[2] if isinstance(first[2], str) else None


def _below_one_root(
    named: list[tuple[str, str, str | None]], tables: list[Mapping[str, Any]]
) -> list[tuple[str, str, str | None]] | None:
    """The same paths from the root that all of them are below."""
    roots = [table.get("data_root") for table in tables]
    given = [str(root) for root in roots if isinstance(root, str) and root]
    if given and len(given) == len(roots) and len(set(given)) == 1:
        root = PurePosixPath(given[0])
        whole = [tuple(None if each is None else root / each for each in paths) for paths in named]
    else:
        joined = [PurePosixPath(str(root)) if isinstance(root, str) else PurePosixPath() for root in roots]
        whole = [
            tuple(None if each is None else base / each for each in paths)
            for paths, base in zip(named, joined, strict=True)
        ]
        root = _common([path for paths in whole for path in paths if path is not None])
    if ".." in root.parts or any(path is not None and ".." in path.parts for paths in whole for path in paths):
        return None
    made: list[tuple[str, str, str | None]] = []
    for images, masks, names in whole:
        if any(each is not None and not each.is_relative_to(root) for each in (images, masks, names)):
            return None
        assert images is not None and masks is not None
        listed = None if names is None else str(names.relative_to(root))
        made.append((str(images.relative_to(root)), str(masks.relative_to(root)), listed))
    return made


def _common(paths: list[PurePosixPath]) -> PurePosixPath:
    """The longest folder that all paths are below, and none of them is."""
    shared = list(paths[0].parts[:-1])
    for path in paths[1:]:
        parts = path.parts[:-1]
        count = next((k for k, (a, b) in enumerate(zip(shared, parts, strict=False)) if a != b), len(parts))
        shared = shared[: min(count, len(parts))]
    return PurePosixPath(*shared)
