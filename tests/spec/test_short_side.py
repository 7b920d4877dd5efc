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


def test_it_can_be_typed_and_is_checked() -> None:
    assert parse_resize("short:520") == ShortSide(520)
    with pytest.raises(BadConfigError, match="1 to 65536"):
        ShortSide(0)
