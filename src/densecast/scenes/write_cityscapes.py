"""Writes street images as a folder in Cityscapes' layout."""

import functools
import io
from pathlib import Path

import numpy as np

from densecast.io import files
from densecast.scenes import folder, street
from densecast.scenes.folder import SizedRecord

SPLITS = ("train", "val")
_CITIES = {"train": ("ashford", "birkenau", "corvale", "dunholm"), "val": ("eastmere", "fernwald")}
"""Invented; as in the original, no city is in two splits."""

_VAL_EVERY = 10


def record(count: int, size_hw: tuple[int, int] = street.SIZE_HW, seed: int = 0) -> SizedRecord:
    """The record that `write` leaves behind for these arguments."""
    return SizedRecord(street.NAME, street.VERSION, seed, count, (size_hw[0], size_hw[1]))


def split_of(index: int) -> str:
    """Every tenth picture, from the first on, is for validation."""
    return SPLITS[index % _VAL_EVERY == 0]


def stem(seed: int, index: int) -> str:
    """`<city>_<6 digits>_<6 digits>` of a picture: its index, then digits that stand for the seed.

    The cities of a split take turns.
    """
    cities = _CITIES[split_of(index)]
    frame = int(files.sha256_text(f"{street.NAME}/{seed}")[:12], 16) % 1_000_000
    return f"{cities[index // _VAL_EVERY % len(cities)]}_{index:06d}_{frame:06d}"


def image_path(root: Path, seed: int, index: int) -> Path:
    """Where the picture goes."""
    name = stem(seed, index)
    return root / "leftImg8bit" / split_of(index) / name.split("_")[0] / f"{name}_leftImg8bit.png"


def label_path(root: Path, seed: int, index: int) -> Path:
    """Where its classes go."""
    name = stem(seed, index)
    return root / "gtFine" / split_of(index) / name.split("_")[0] / f"{name}_gtFine_labelTrainIds.png"


def write(
    root: Path,
    count: int,
    size_hw: tuple[int, int] = street.SIZE_HW,
    seed: int = 0,
    workers: int | None = None,
) -> None:
    """Write `leftImg8bit/`, `gtFine/` and, when all files are there, `scene.json`.

    Equal arguments give the same files whatever the number of workers. The same call finishes a folder that
    was interrupted; one that already is what is wanted is left alone.

    Args:
        root: The data set's folder; made when missing.
        count: Number of pictures, at least 1; a tenth of them, rounded up, are for validation.
        size_hw: Pixels of each picture, at least 64 each way.
        seed: The world; other seeds show other streets.
        workers: Processes; None takes one for each processor that this process may use, 1 draws in this one.
            More than one need, as all of Python's spawned processes do, a main module that is safe to import.

    Raises:
        BadConfigError: an argument out of bounds.
        BadDatasetError: `root` holds pictures or labels of something else; nothing is changed then.

    """
    wanted = record(count, size_hw, seed)
    if folder.is_written(root, wanted):
        return
    _refuse_foreign(root, wanted)
    with folder.filling(root, wanted):
        folder.draw_all(functools.partial(_write_one, root, wanted), count, workers)


def _refuse_foreign(root: Path, wanted: SizedRecord) -> None:
    known: dict[Path, set[str]] = {
        root / kind / split / city: set()
        for kind in ("leftImg8bit", "gtFine")
        for split in SPLITS
        for city in _CITIES[split]
    }
    for index in range(wanted.count):
        for path in (image_path(root, wanted.seed, index), label_path(root, wanted.seed, index)):
            known[path.parent].add(path.name)
    what = f"pictures of streets of seed {wanted.seed} and count {wanted.count}"
    for kind in ("leftImg8bit", "gtFine"):
        folder.refuse_foreign(root / kind, set(SPLITS), what)
        for split in SPLITS:
            folder.refuse_foreign(root / kind / split, set(_CITIES[split]), what)
    for place, names in known.items():
        folder.refuse_foreign(place, names, what)


def _write_one(root: Path, wanted: SizedRecord, index: int) -> None:
    scene = street.render(wanted.seed, index, wanted.size_hw)
    files.write_bytes(label_path(root, wanted.seed, index), _png(scene.classes), flushed=False)
    files.write_bytes(image_path(root, wanted.seed, index), _png(scene.image), flushed=False)


def _png(pixels: np.typing.NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    # Noise hardly compresses: level 1 is as small as 9, at a fifth of the time.
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
