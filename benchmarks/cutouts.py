"""Many images from a few photographs, in two halves that have no photograph in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from densecast.imaging.folder import images_in

SMALLEST = 0.35  # of a photograph's short side


def write(folders: Sequence[Path], out: Path, *, each: int, side: int, seed: int = 0) -> tuple[Path, Path]:
    """`each` square cut-outs of every photograph, some mirrored, scaled to `side` pixels, under `out`.

    Photographs go to the two halves in turn, so what was learned from one half has not seen the other.

    Returns:
        The folders of the two halves.

    """
    halves = out / "first_half", out / "second_half"
    rng = np.random.default_rng(seed)
    paths = [path for folder in folders for path in images_in(folder)]
    for place, path in enumerate(paths):
        half = halves[place % 2]
        half.mkdir(parents=True, exist_ok=True)
        image = cv2.imread(str(path))
        if image is None:
            raise SystemExit(f"{path} is no image that OpenCV reads.")
        for number in range(each):
            cut = cut_out(image, side, rng)
            cv2.imwrite(str(half / f"{path.stem}_{number:02d}.png"), cut)
    return halves


def cut_out(image: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """(h, w, 3) -> (side, side, 3): a square anywhere in it."""
    height, width = image.shape[:2]
    size = round(min(height, width) * rng.uniform(SMALLEST, 1))
    top, left = rng.integers(height - size + 1), rng.integers(width - size + 1)
    cut = image[top : top + size, left : left + size]
    if rng.random() < 0.5:
        cut = cut[:, ::-1]
    smaller = size > side
    return cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
