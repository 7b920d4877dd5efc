"""The short side to a size: torchvision's own formula and numbers, through all that it has to round."""

from __future__ import annotations

import pytest

from densecast.errors import BadConfigError
from densecast.spec.preprocess import ShortSide
from densecast.verbs.export.spec_file import parse_resize


def torchvision_s(image_hw: tuple[int, int], size: int) -> tuple[int, int]:
    """`torchvision.transforms.functional._compute_resized_output_size` in our words, apart from the code under test."""
    height, width = image_hw
    short, long = sorted((width, height))
    new_short, new_long = size, int(size * long / short)
    return (new_short, new_long) if height <= width else (new_long, new_short)


@pytest.mark.parametrize("image_hw", [(375, 500), (500, 375), (100, 100), (33, 257), (1281, 1919), (7, 4000)])
@pytest.mark.parametrize("size", [520, 64, 33])
def test_sizes_are_torchvision_s(image_hw: tuple[int, int], size: int) -> None:
    assert ShortSide(size).place(image_hw).model_hw == torchvision_s(image_hw, size)


def of_detr_s_processors(image_hw: tuple[int, int], size: int, most: int) -> tuple[int, int]:
    """`get_size_with_aspect_ratio` of transformers' image processors in our words, apart from the code under test."""
    height, width = image_hw
    short, long = sorted(image_hw)
    exact = float(size)
    if long / short * size > most:
        exact = most * short / long
        size = round(exact)
    if short == size:
        return height, width
    return (size, int(exact * width / height)) if height <= width else (int(exact * height / width), size)


@pytest.mark.parametrize(
    "image_hw", [(375, 500), (500, 375), (100, 100), (33, 257), (1281, 1919), (7, 400), (75, 1000)]
)
@pytest.mark.parametrize(("size", "most"), [(800, 1333), (64, 100), (33, 300), (48, 48)])
def test_a_bound_of_the_long_side_rounds_as_detr_s_processors_do(
    image_hw: tuple[int, int], size: int, most: int
) -> None:
    assert ShortSide(size, most).place(image_hw).model_hw == of_detr_s_processors(image_hw, size, most)


def test_both_sides_are_rounded_up_to_a_multiple() -> None:
    assert ShortSide(80, 150, 32).place((97, 131)).model_hw == (96, 128)
    assert ShortSide(64, None, 32).place((64, 96)).model_hw == (64, 96)
    assert ShortSide(64, None, 32).place((97, 64)).model_hw == (128, 64)


def test_sides_are_scaled_and_their_multiple_stays() -> None:
    assert ShortSide(65, 151, 32).scaled(0.5) == ShortSide(32, 75, 32)
    assert ShortSide(65).scaled(0.5) == ShortSide(32)
    assert ShortSide(1, 2).scaled(0.1) == ShortSide(1, 1)


def test_it_can_be_typed_and_is_checked() -> None:
    assert parse_resize("short:520") == ShortSide(520)
    with pytest.raises(BadConfigError, match="1 to 65536"):
        ShortSide(0)
    with pytest.raises(BadConfigError, match="long_side must be 80"):
        ShortSide(80, 79)
    with pytest.raises(BadConfigError, match="long_side must be 80"):
        ShortSide(80, (1 << 16) + 1)
    assert ShortSide(80, 80).long_side == 80
    with pytest.raises(BadConfigError, match="multiple must be 1 to 4096"):
        ShortSide(80, multiple=0)
