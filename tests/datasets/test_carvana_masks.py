"""Masks of two colours: the lighter one is the car, and what cannot be told is refused with the cure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_mask_folders import write
from PIL import Image

from densecast.datasets._masks import lighter
from densecast.errors import BadImageError

CAR = np.zeros((12, 16), bool)
CAR[3:9, 4:12] = True


def painted(path: Path, background: tuple[int, int, int], car: tuple[int, int, int]) -> Path:
    return write(path, np.where(CAR[..., None], np.uint8(car), np.uint8(background)))


@pytest.mark.parametrize(
    ("background", "car"),
    [
        ((0, 0, 0), (255, 255, 255)),
        ((0, 0, 0), (90, 20, 20)),
        ((30, 30, 90), (255, 220, 0)),
        ((128, 128, 128), (129, 129, 129)),
        ((200, 0, 0), (255, 255, 0)),
    ],
)
def test_the_lighter_colour_is_the_car(tmp_path: Path, background: tuple[int, ...], car: tuple[int, ...]) -> None:
    for name in ("a.png", "a.bmp", "a.tif"):
        np.testing.assert_array_equal(lighter(painted(tmp_path / name, background, car)), CAR)  # type: ignore[arg-type]
    np.testing.assert_array_equal(lighter(painted(tmp_path / "b.png", car, background)), ~CAR)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other"),
    [((255, 0, 0), (0, 0, 255)), ((0, 255, 0), (255, 0, 255)), ((0, 200, 0), (120, 0, 120))],
)
def test_of_two_colours_that_are_equally_light_neither_is_taken(
    tmp_path: Path, one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    for pair in ((one, other), (other, one)):
        with pytest.raises(BadImageError, match=r"neither is clearly the lighter one\. Save masks as black and white"):
            lighter(painted(tmp_path / "a.png", *pair))


def test_smoothed_edges_are_refused_with_the_cure(tmp_path: Path) -> None:
    big = Image.fromarray(np.where(CAR, np.uint8(255), np.uint8(0))).resize((40, 30), Image.Resampling.BILINEAR)
    big.save(tmp_path / "a.png")
    with pytest.raises(BadImageError, match=r"holds two values, this one \d+\. Save it without smoothed edges"):
        lighter(tmp_path / "a.png")
    big.convert("RGB").save(tmp_path / "a.jpg")
    with pytest.raises(BadImageError, match="JPEG changes values"):
        lighter(tmp_path / "a.jpg")
