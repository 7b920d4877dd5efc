"""One picture in several files is told of, with its files, and whether their masks agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_mask_folders import labels_of, painted, write

import densecast
from densecast import Data, DataCheckOptions

NAMES = 'names = ["ground", "red", "green"]\n'


def data(root: Path, copies: dict[str, tuple[int, int]], folders: tuple[str, ...] = ("",)) -> Path:
    """Pictures by name, each painted as a number says, with the mask of another number."""
    for place, (name, (picture, mask)) in enumerate(copies.items()):
        folder = root / folders[place % len(folders)]
        pixels = painted(labels_of(picture))
        pixels[8:12, 3 * picture : 3 * picture + 3] = (40 * picture % 256, 7, 90)
        write(folder / "images" / f"{name}.png", pixels)
        write(folder / "masks" / f"{name}.png", labels_of(mask))
    (root / "data.toml").write_text(NAMES, encoding="utf-8")
    return root


def told(root: Path) -> list[tuple[str, str]]:
    found = densecast.check_data(Data(root), options=DataCheckOptions())
    return [(each.kind, each.text) for each in found.problems if each.kind in ("duplicate", "leak")]


@pytest.mark.parametrize(("other_mask", "differ"), [(0, ""), (2, "; their masks differ")])
def test_copies_of_a_picture_are_named_and_their_masks_compared(other_mask: int, differ: str, tmp_path: Path) -> None:
    root = data(tmp_path, {"a": (0, 0), "b": (1, 1), "c": (0, other_mask), "d": (2, 2)})
    ((kind, text),) = told(root)
    assert kind == "duplicate" and text.startswith("2 files hold one picture: ") and text.endswith(f"c.png{differ}")
    assert "a.png" in text and "b.png" not in text


def test_a_picture_in_both_splits_is_a_leak(tmp_path: Path) -> None:
    copies = {"a": (0, 0), "b": (0, 0), "c": (1, 1), "d": (2, 2)}
    root = data(tmp_path, copies, ("train", "val"))
    ((kind, text),) = told(root)
    assert kind == "leak" and text.startswith("one picture in train and in val: ") and not text.endswith("differ")


def test_pictures_that_differ_in_a_pixel_are_two(tmp_path: Path) -> None:
    root = data(tmp_path, {"a": (0, 0), "b": (1, 1), "c": (2, 2)})
    path = root / "images" / "b.png"
    pixels = np.asarray(painted(labels_of(0))).copy()
    pixels[8:12, 0:3] = (0, 7, 90)
    pixels[0, 0, 0] ^= 1
    write(path, pixels)
    assert told(root) == []
