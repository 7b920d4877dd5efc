"""Writes turntable images as a folder in Carvana's layout."""

import functools
import io
from pathlib import Path

import numpy as np

from densecast.io import files
from densecast.scenes import folder, turntable
from densecast.scenes.folder import SizedRecord

_QUALITY = (78, 95)
_QUALITY_STREAM = 0x19E6


def record(count: int, size_hw: tuple[int, int] = turntable.SIZE_HW, seed: int = 0) -> SizedRecord:
    """The record that `write` leaves behind for these arguments."""
    return SizedRecord(turntable.NAME, turntable.VERSION, seed, count, (size_hw[0], size_hw[1]))


def write(
    root: Path,
    count: int,
    size_hw: tuple[int, int] = turntable.SIZE_HW,
    seed: int = 0,
    workers: int | None = None,
) -> None:
    """Write `imgs/<id>.jpg`, `masks/<id>_mask.gif` and, when all of them are there, `scene.json`.

    Equal arguments give the same files whatever the number of workers. The same call finishes a folder that
    was interrupted; one that already is what is wanted is left alone. Masks are palette GIFs: 0 background,
    1 car.

    Args:
        root: The data set's folder; made when missing.
        count: Number of pictures, at least 1.
        size_hw: Pixels of each picture, at least 64 each way.
        seed: The world; other seeds show other cars and places.
        workers: Processes; None takes one for each processor that this process may use, 1 draws in this one.
            More than one need, as all of Python's spawned processes do, a main module that is safe to import.

    Raises:
        BadConfigError: an argument out of bounds.
        BadDatasetError: `root` holds pictures or masks of something else; nothing is changed then.

    """
    wanted = record(count, size_hw, seed)
    if folder.is_written(root, wanted):
        return
    _refuse_foreign(root, wanted)
    with folder.filling(root, wanted):
        folder.draw_all(functools.partial(_write_one, root, wanted), count, workers)


def _refuse_foreign(root: Path, wanted: SizedRecord) -> None:
    names = [turntable.scene_id(wanted.seed, index) for index in range(wanted.count)]
    what = f"turntable pictures of seed {wanted.seed} and count {wanted.count}"
    folder.refuse_foreign(root / "imgs", {f"{name}.jpg" for name in names}, what)
    folder.refuse_foreign(root / "masks", {f"{name}_mask.gif" for name in names}, what)


def _write_one(root: Path, wanted: SizedRecord, index: int) -> None:
    from PIL import Image

    scene = turntable.render(wanted.seed, index, wanted.size_hw)
    picture, mask = io.BytesIO(), io.BytesIO()
    quality = np.random.default_rng([wanted.seed, _QUALITY_STREAM, index]).integers(*_QUALITY)
    Image.fromarray(scene.image).save(picture, "JPEG", quality=int(quality))
    indexed = Image.frombytes("P", scene.mask.shape[::-1], scene.mask.tobytes())
    indexed.putpalette([0, 0, 0, 255, 255, 255])
    indexed.save(mask, "GIF", optimize=False)
    files.write_bytes(root / "masks" / f"{scene.id}_mask.gif", mask.getvalue(), flushed=False)
    files.write_bytes(root / "imgs" / f"{scene.id}.jpg", picture.getvalue(), flushed=False)
