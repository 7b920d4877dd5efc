"""Turntable pictures as a folder in the layout of the Carvana data set."""

import functools
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densecast.core import codec, files
from densecast.core.errors import BadConfigError
from densecast.scenes import folder, turntable

_QUALITY = (78, 95)
_QUALITY_STREAM = 0x19E6


@dataclass(frozen=True, slots=True)
class Record:
    """What a finished folder was made with; stands in it as `scene.json`."""

    generator: str
    version: int
    seed: int
    count: int
    size_hw: tuple[int, int]


def record(count: int, size_hw: tuple[int, int] = turntable.SIZE_HW, seed: int = 0) -> Record:
    """The record that `write` leaves behind for these arguments."""
    return Record(turntable.NAME, turntable.VERSION, seed, count, (size_hw[0], size_hw[1]))


def is_written(root: Path, wanted: Record) -> bool:
    """Whether `root` holds a finished set of exactly this record. Only `scene.json` is read."""
    return folder.is_written(root, wanted)


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
    if not (1 <= count <= 1_000_000 and all(64 <= side <= 4096 for side in size_hw) and seed >= 0):
        raise BadConfigError(
            "turntable pictures need count 1 to 1000000, sides of 64 to 4096 pixels and a seed of 0 or more, "
            f"got count={count}, size_hw={tuple(size_hw)}, seed={seed}."
        )
    wanted = record(count, size_hw, seed)
    if is_written(root, wanted):
        return
    _refuse_foreign(root, wanted)
    # While the pictures change, no record may vouch for them.
    (root / folder.RECORD_NAME).unlink(missing_ok=True)
    folder.draw_all(functools.partial(_write_one, root, wanted), count, workers)
    files.write_text(root / folder.RECORD_NAME, codec.to_json(wanted))


def _refuse_foreign(root: Path, wanted: Record) -> None:
    names = [turntable.scene_id(wanted.seed, index) for index in range(wanted.count)]
    what = f"turntable pictures of seed {wanted.seed} and count {wanted.count}"
    folder.refuse_foreign(root / "imgs", {f"{name}.jpg" for name in names}, what)
    folder.refuse_foreign(root / "masks", {f"{name}_mask.gif" for name in names}, what)


def _write_one(root: Path, wanted: Record, index: int) -> None:
    from PIL import Image

    scene = turntable.render(wanted.seed, index, wanted.size_hw)
    picture, mask = io.BytesIO(), io.BytesIO()
    quality = np.random.default_rng([wanted.seed, _QUALITY_STREAM, index]).integers(*_QUALITY)
    Image.fromarray(scene.image).save(picture, "JPEG", quality=int(quality))
    indexed = Image.fromarray(scene.mask, mode="L").convert("P")
    indexed.putdata(scene.mask.reshape(-1))
    indexed.putpalette([0, 0, 0, 255, 255, 255])
    indexed.save(mask, "GIF", optimize=False)
    files.write_bytes(root / "masks" / f"{scene.id}_mask.gif", mask.getvalue())
    files.write_bytes(root / "imgs" / f"{scene.id}.jpg", picture.getvalue())
