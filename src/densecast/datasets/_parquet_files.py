"""Unpacks Parquet files in Hugging Face's form into folders of images and masks, once, in the cache.

A column of images holds structs of `bytes` and `path`, as `datasets.Image` writes them, or bytes. Everything that reads
images reads files, so a row becomes two: `<split>/images/<name>` and `<split>/masks/<name>`, byte for byte what the row
holds. Format: https://huggingface.co/docs/datasets/image_dataset, https://parquet.apache.org/docs/file-format/.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.datasets import _names
from densecast.errors import BadDatasetError, MissingExtraError, MissingFileError
from densecast.io import cache, files
from densecast.spec.sample import Split

_IMAGES = ("image", "img", "images", "picture", "photo", "pixel_values", "jpg", "png")
_MASKS = (
    "label", "mask", "annotation", "labels", "masks", "segmentation", "segmentation_mask", "semantic_segmentation",
    "annotations", "label_map", "seg", "gt", "ground_truth", "target",
)  # fmt: skip
_SPLITS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val"}
_ROWS_AT_A_TIME = 16
# How files of images begin, and their usual endings.
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"II*\0", ".tif"), (b"MM\0*", ".tif"),
    (b"BM", ".bmp"), (b"GIF8", ".gif"), (b"RIFF", ".webp"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The folder with a folder for each split (none of them named: `all`), and in words what was read."""

    folder: Path
    splits: tuple[str, ...]
    words: str


def files_in(root: Path) -> tuple[Path, ...]:
    """The Parquet file that `root` is, or those directly in it or in its `data/`, sorted; hidden ones left out."""
    if root.is_file():
        return (root,) if root.suffix.lower() == ".parquet" else ()
    for folder in (root, root / "data"):
        found = [path for path in sorted(folder.glob("*.parquet")) if not _names.is_hidden(path)]
        if found:
            return tuple(found)
    return ()


def unpack(root: Path, image: str | None = None, mask: str | None = None) -> Unpacked:
    """The images and masks of all rows, as files; from the cache if it was done before and no file has changed.

    `image` and `mask` name the columns, where their names do not tell.

    Raises:
        MissingFileError: no such file or folder.
        MissingExtraError: pyarrow is not installed.
        BadDatasetError: no Parquet files, columns that cannot be told or hold no images, or a row without one.
    """
    if not root.exists():
        raise MissingFileError(f"{root} does not exist.")
    sources = files_in(root)
    if not sources:
        raise BadDatasetError(f"{root} holds no .parquet files.")
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError.of("store", "reading Parquet files")
    by_split = _by_split(sources)
    columns = {_columns(path, image, mask) for path in sources}
    if len(columns) > 1:
        raise BadDatasetError(f"{root}: its files have different columns: {' and '.join(map(str, sorted(columns)))}.")
    ((image, mask),) = columns
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    key = files.sha256_text(repr((str(files.real(root)), image, mask, states)))[:32]
    if not any(_opened(path).metadata.num_rows for path in sources):
        raise BadDatasetError(f"{root} holds no rows.")
    target = cache.folder() / "parquet" / key
    if not target.is_dir():
        with files.new_folder(target) as scratch:
            for split, paths in by_split.items():
                _unpack(paths, image, mask, scratch / split)
    words = f"columns {image!r} and {mask!r} of {len(sources)} Parquet file{'s' * (len(sources) > 1)}"
    return Unpacked(target, tuple(by_split), words)


def _by_split(sources: Sequence[Path]) -> dict[str, list[Path]]:
    """The files of each split by their names, as `validation-00000-of-00001.parquet`; `all` where none tells one."""
    words = {path: re.split(r"[-_.]", path.stem.lower())[0] for path in sources}
    known = [path for path in sources if words[path] in _SPLITS]
    if not any(_SPLITS[words[path]] == "val" for path in known):
        # A training split alone is divided; images of a test split have no part in it.
        return {"all": [path for path in sources if words[path] != "test"] or list(sources)}
    by_split: dict[str, list[Path]] = {}
    for path in known:
        by_split.setdefault(_SPLITS[words[path]], []).append(path)
    return by_split


def _columns(path: Path, image: str | None, mask: str | None) -> tuple[str, str]:
    """The names of the columns of images and of masks."""
    import pyarrow

    schema = _opened(path).schema_arrow
    of_images = [
        field.name
        for field in schema
        if pyarrow.types.is_struct(field.type) or pyarrow.types.is_binary(field.type)
        or pyarrow.types.is_large_binary(field.type) or pyarrow.types.is_list(field.type)
    ]  # fmt: skip
    found = []
    for wanted, usual, flag in ((image, _IMAGES, "images_dir"), (mask, _MASKS, "masks_dir")):
        if wanted is not None:
            name = wanted if wanted in schema.names else None
        else:
            name = next((each for each in usual if each in of_images and each not in found), None)
        if name is None:
            what = f"no column {wanted!r}" if wanted is not None else f"no column of {flag.partition('_')[0]} is found"
            raise BadDatasetError(
                f"{path}: {what}; there are {', '.join(schema.names)}. Name it with --{flag.replace('_', '-')}.",
                field=flag,
            )
        found.append(name)
    return found[0], found[1]


def _opened(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise BadDatasetError(f"{path}: no readable Parquet file ({' '.join(str(error).split())[:200]}).") from None


def _unpack(paths: Sequence[Path], image: str, mask: str, out: Path) -> None:
    names: set[str] = set()
    number = 0
    for path in paths:
        for picture, label in _rows(path, image, mask):
            where = f"{path}, row {number}"
            data, given = _content(picture, path, f"{where}: the image")
            stem = PurePosixPath((given or "").replace("\\", "/")).stem
            if not stem or stem.startswith(".") or stem in names or len(stem.encode()) > 200:
                stem = f"{number:08d}"
            names.add(stem)
            files.write_bytes(out / "images" / f"{stem}{_ending(data, given)}", data)
            if isinstance(label, list):
                _write_labels(label, out / "masks" / f"{stem}.png", where)
            else:
                data, given = _content(label, path, f"{where}: the mask")
                files.write_bytes(out / "masks" / f"{stem}{_ending(data, given)}", data)
            number += 1


def _rows(path: Path, image: str, mask: str) -> Iterator[tuple[Any, Any]]:
    import pyarrow

    try:
        for batch in _opened(path).iter_batches(batch_size=_ROWS_AT_A_TIME, columns=[image, mask]):
            yield from zip(batch.column(image).to_pylist(), batch.column(mask).to_pylist(), strict=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise BadDatasetError(f"{path}: damaged or cut off ({' '.join(str(error).split())[:200]}).") from None


def _content(value: Any, path: Path, where: str) -> tuple[bytes, str | None]:
    """The bytes of an image, and the name that it was given."""
    if isinstance(value, dict):
        name = value.get("path")
        data = value.get("bytes")
        if data is None and isinstance(name, str):
            # Without bytes the path is of a file beside the Parquet file; none above that is read.
            beside = path.parent / name
            if not files.real(beside).is_relative_to(files.real(path.parent)) or not beside.is_file():
                raise BadDatasetError(f"{where} has no bytes, and {name[:200]!r} is no file beside {path.name}.")
            data = beside.read_bytes()
        value = data if data is not None else None
        if isinstance(value, bytes):
            return value, name if isinstance(name, str) else None
    if isinstance(value, bytes):
        return value, None
    if value is None:
        raise BadDatasetError(f"{where} is missing.")
    raise BadDatasetError(f"{where} is {type(value).__name__}, not an image's bytes.")


def _write_labels(rows: list[Any], target: Path, where: str) -> None:
    from PIL import Image

    labels: npt.NDArray[np.int64]
    try:
        labels = np.asarray(rows, np.int64)
    except (TypeError, ValueError):
        labels = np.empty(0, np.int64)
    if labels.ndim != 2 or labels.size == 0 or labels.min() < 0 or labels.max() > 65535:
        raise BadDatasetError(f"{where}: the mask must be rows of labels from 0 to 65535.")
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint8 if labels.max() < 256 else np.uint16)).save(target)


def _ending(data: bytes, given: str | None) -> str:
    ending = PurePosixPath(given).suffix.lower() if given else ""
    if ending in _names.SUFFIXES:
        return ending
    return next((suffix for start, suffix in _BEGINNINGS if data.startswith(start)), ".png")
