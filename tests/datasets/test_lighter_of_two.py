"""A mask of two values is 1 where it is lighter, in whatever mode it was saved; of one value, by middle grey."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densecast.datasets._masks import lighter
from densecast.errors import BadImageError


def saved(folder: Path, values: Any, mode: str | None = None, kind: str = "png") -> Path:
    path = folder / f"mask.{kind}"
    image = values if isinstance(values, Image.Image) else Image.fromarray(np.asarray(values))
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.mark.parametrize(
    ("low", "high", "dtype", "mode"),
    [
        (0, 1, np.uint8, None), (0, 255, np.uint8, None), (3, 4, np.uint8, None), (254, 255, np.uint8, None),
        (0, 255, np.uint8, "1"), (0, 255, np.uint8, "RGB"), (0, 1, np.uint16, None), (7, 60_000, np.uint16, None),
    ],
)  # fmt: skip
def test_the_lighter_of_two_values_is_1(low: int, high: int, dtype: Any, mode: str | None, tmp_path: Path) -> None:
    wanted = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
    values = np.where(wanted == 1, high, low).astype(dtype)
    found = lighter(saved(tmp_path, values, mode))
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("value", "dtype", "mode", "expected"),
    [
        # Masks of 0 and 1 have 1 for white; in others that are all one grey it is the lightest there is.
        (0, np.uint8, None, 0), (1, np.uint8, None, 1), (2, np.uint8, None, 1), (255, np.uint8, None, 1),
        (0, np.uint16, None, 0), (1, np.uint16, None, 1),
        (0, np.uint8, "1", 0), (255, np.uint8, "1", 1),
        (0, np.uint8, "RGB", 0), (127, np.uint8, "RGB", 0), (128, np.uint8, "RGB", 1), (255, np.uint8, "RGB", 1),
    ],
)  # fmt: skip
def test_a_mask_of_one_value_goes_by_middle_grey(
    value: int, dtype: Any, mode: str | None, expected: int, tmp_path: Path
) -> None:
    found = lighter(saved(tmp_path, np.full((2, 3), value, dtype), mode))
    np.testing.assert_array_equal(found, np.full((2, 3), expected))


def test_a_palette_has_the_order_of_its_colours_not_of_its_numbers(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    image.putpalette([255, 255, 255, 10, 20, 30])
    np.testing.assert_array_equal(lighter(saved(tmp_path, image)), [[1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("first", "second"),
    [((255, 0, 0), (0, 255, 0)), ((0, 0, 255), (90, 90, 0)), ((100, 0, 0), (0, 0, 100)), ((10, 20, 30), (30, 20, 10))],
)
def test_of_two_colours_that_are_equally_light_nobody_can_say_which(
    first: tuple[int, ...], second: tuple[int, ...], tmp_path: Path
) -> None:
    path = saved(tmp_path, np.array([[first, second]], np.uint8))
    with pytest.raises(BadImageError, match="neither is clearly the lighter one"):
        lighter(path)
    path = saved(tmp_path, np.array([[(10, 10, 10), second]], np.uint8))
    np.testing.assert_array_equal(lighter(path), [[0, 1]])


@pytest.mark.parametrize(("kind", "cure"), [("png", "without smoothed edges"), ("jpg", "JPEG changes values")])
def test_three_values_are_no_mask_of_two_classes(kind: str, cure: str, tmp_path: Path) -> None:
    path = saved(tmp_path, np.repeat(np.array([[0, 128, 255]], np.uint8), 8, axis=1).repeat(8, axis=0), kind=kind)
    with pytest.raises(BadImageError, match=f"holds two values, this one .*{cure}"):
        lighter(path)
