"""A legend lies below the picture, in lines as wide as it, with names that are cut where they would not fit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from densecast.tasks import _legend
from densecast.tasks._legend import Entry

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def swatches(band: np.ndarray, colour: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    """Top, left, height and width of the field of a colour."""
    is_colour = (band == colour).all(axis=2)
    rows, columns = np.flatnonzero(is_colour.any(axis=1)), np.flatnonzero(is_colour.any(axis=0))
    if not rows.size:
        return []
    return [(int(rows[0]), int(columns[0]), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)]


@pytest.mark.parametrize(
    ("height", "width", "letter"),
    [(300, 600, 10), (200, 900, 10), (600, 700, 20), (840, 900, 28), (1500, 1600, 28), (900, 615, 20)],
)
def test_letters_are_a_thirtieth_of_the_shorter_side_within_bounds(height: int, width: int, letter: int) -> None:
    image = picture(height, width)
    found = _legend.below(image, [Entry("sky", RED)])
    np.testing.assert_array_equal(found[:height], image)
    assert found.shape == (height + round(1.6 * letter) + letter, width, 3)
    (field,) = swatches(found[height:], RED)
    # A black line around it; the field is as high as a letter.
    assert field == (letter // 2 + letter // 5 + 1, letter + 1, letter - 1, letter - 1)
    assert (found[height:, :letter] == 255).all()


def test_nothing_to_name_leaves_the_picture_as_it_is() -> None:
    image = picture(40, 60)
    assert _legend.below(image, []) is image


def test_what_has_no_room_in_a_line_begins_the_next_one() -> None:
    image = picture(300, 200)
    font = ImageFont.load_default(10)
    one = round(14 + font.getlength("abcdef 3 %") + 10)
    assert 10 + one < 200 < 10 + 2 * one or 10 + 2 * one <= 200
    for count in range(1, 6):
        entries = [Entry("abcdef", RED, "3 %")] * count
        in_line = max(1, (200 - 10) // one)
        lines = -(-count // in_line)
        assert _legend.below(image, entries).shape[0] == 300 + 16 * lines + 10
    both = _legend.below(image, [Entry("abcdef", RED, "3 %"), Entry("g", BLUE)])[300:]
    (first,), (second,) = swatches(both, RED), swatches(both, BLUE)
    assert first[1] == 11 and second[0] == first[0] and second[1] == 11 + one


@pytest.mark.parametrize("width", [60, 75, 90, 110])
def test_a_name_is_cut_to_the_longest_beginning_that_fits(width: int) -> None:
    name, font = "pedestrian crossing", ImageFont.load_default(10)

    def fits(text: str) -> bool:
        return 14 + font.getlength(text) + 20 <= width

    image = picture(200, width)
    longest = next(name[:end] + "…" for end in range(len(name) - 1, 0, -1) if fits(name[:end] + "…"))
    assert not fits(name)
    cut = _legend.below(image, [Entry(name, RED)])
    np.testing.assert_array_equal(cut, _legend.below(image, [Entry(longest, RED)]))
    shorter = _legend.below(image, [Entry(longest[:-2] + "…", RED)])
    assert not np.array_equal(cut, shorter)


def test_where_not_even_two_letters_fit_the_colour_stands_alone() -> None:
    image = picture(200, 36)
    alone = _legend.below(image, [Entry("", RED)])
    np.testing.assert_array_equal(_legend.below(image, [Entry("WWWW", RED)]), alone)


def test_tables_for_notebooks_escape_every_name() -> None:
    found = _legend.html('<a> & "b"', b"png", [Entry("<i>", (1, 2, 3), "4 & 5")])
    assert "&lt;a&gt; &amp; &quot;b&quot;" in found and 'src="data:image/png;base64,cG5n"' in found
    assert "rgb(1, 2, 3)" in found and "<td>&lt;i&gt;</td><td>4 &amp; 5</td>" in found and "<i>" not in found
    assert "<img" not in _legend.html("a", None, [])
