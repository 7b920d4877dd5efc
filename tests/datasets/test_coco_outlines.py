"""How far outlines may reach: beyond a picture a little, and into the frame that is turned by its tag."""

from __future__ import annotations

from typing import Any

import pytest

from densecast.datasets import _coco_outlines
from densecast.datasets._coco_annotations import ImageEntry
from densecast.errors import BadDatasetError


def reaching(*corners: tuple[float, float]) -> list[dict[str, Any]]:
    """An annotation for each corner: a triangle that reaches it."""
    return [{"segmentation": [[0.0, 0.0, x, 1.0, 1.0, y]]} for x, y in corners]


def test_the_largest_coordinates_of_all_polygons_count() -> None:
    entries = [
        {"segmentation": [[5.0, 6.0, 1.0, 2.0, 3.0, 4.0], [0.0, 9.0, 7.5, 1.0, 1.0, 1.0]]},
        {"segmentation": {"size": [99, 99], "counts": "x"}},
        {"segmentation": [[2.0, 30.0, 1.0, 1.0, 1.0, 1.0]]},
        {},
    ]
    assert _coco_outlines.reach_of(entries) == (7.5, 30.0)
    assert _coco_outlines.reach_of([]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("corner", "is_turned"),
    [
        ((30.0, 20.0), None),  # both fit
        ((31.5, 20.0), None),
        ((31.6, 20.0), False),  # too wide for the turned one, which is 30 wide
        ((41.5, 20.0), False),
        ((41.6, 20.0), None),  # neither
        ((20.0, 31.5), None),
        ((20.0, 31.6), True),  # too high for the size itself, which is 30 high
        ((31.5, 41.5), True),
        ((31.6, 41.5), None),
        ((31.5, 41.6), None),
    ],
)
def test_outlines_that_fit_one_frame_tell_it(corner: tuple[float, float], is_turned: bool | None) -> None:
    image = ImageEntry(1, "a.jpg", (30, 40))
    assert _coco_outlines.is_turned(image, reaching((1.0, 1.0), corner)) is is_turned
    assert _coco_outlines.is_turned(ImageEntry(1, "a.jpg", (40, 40)), reaching(corner)) is None


def test_run_lengths_tell_the_frame_by_their_size() -> None:
    image = ImageEntry(1, "a.jpg", (30, 40))

    def runs(*sizes: tuple[int, int]) -> list[dict[str, Any]]:
        return [{"segmentation": {"size": list(size), "counts": ""}} for size in sizes]

    assert _coco_outlines.is_turned(image, runs((30, 40), (30, 40))) is False
    assert _coco_outlines.is_turned(image, runs((40, 30))) is True
    # Of two sizes, or another one, the polygons decide.
    for sizes in (((30, 40), (40, 30)), ((7, 7),)):
        assert _coco_outlines.is_turned(image, [*runs(*sizes), *reaching((20.0, 35.0))]) is True


@pytest.mark.parametrize(
    ("corner", "is_inside"),
    [
        ((223.0, 113.0), True),  # a tenth and three pixels
        ((223.5, 113.0), False),
        ((223.0, 113.5), False),
        ((0.0, 0.0), True),
    ],
)
def test_outlines_may_reach_a_tenth_and_three_pixels_beyond_the_picture(
    corner: tuple[float, float], is_inside: bool
) -> None:
    (entry,) = reaching(corner)
    if is_inside:
        _coco_outlines.require_inside(entry, (100, 200))
    else:
        with pytest.raises(BadDatasetError, match="in a picture of 200×100: it was drawn on one of another size"):
            _coco_outlines.require_inside(entry, (100, 200))
