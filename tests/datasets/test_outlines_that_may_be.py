"""What may be the outline of an object in COCO's annotations: polygons, or run lengths of its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from densecast.datasets._coco_annotations import is_id, is_numbers, is_outline
from densecast.datasets.pairs.colour_tables import read_table

SQUARE = [0, 0, 4, 0, 4, 4]


@pytest.mark.parametrize(
    ("outline", "may_be"),
    [
        ([SQUARE], True), ([SQUARE, [0.5, 1, 2, 3, 4, 5, 6, 7]], True), ([[0, 0, 4, 0]], False),
        ([[*SQUARE, 1]], False),
        ([], False), ([[]], False), ([SQUARE, None], False), ([SQUARE, [0, 0, 4, 0, 4, "4"]], False), (SQUARE, False),
        ({"size": [2, 3], "counts": "abc"}, True), ({"size": [2, 3], "counts": [1, 5]}, True),
        ({"size": [2, 3], "counts": [0, 6]}, True), ({"size": [2, 3], "counts": [1, 4]}, False),
        ({"size": [2, 3], "counts": [7, -1]}, False), ({"size": [2, 3], "counts": [1.0, 5]}, False),
        ({"size": [2, 3], "counts": None}, False), ({"size": [2, 0], "counts": []}, False),
        ({"size": [2], "counts": "a"}, False), ({"size": [2, 3, 1], "counts": "a"}, False),
        ({"size": [2.0, 3], "counts": "a"}, False), ({"size": [True, 3], "counts": "a"}, False),
        ({"counts": "abc"}, False), ({}, False), (None, False), ("abc", False), (3, False),
    ],
)  # fmt: skip
def test_outlines_are_polygons_or_run_lengths(outline: Any, may_be: bool) -> None:
    assert is_outline(outline) is may_be


def test_ids_and_numbers_are_what_json_has_of_them() -> None:
    assert is_id(0) and is_id(7) and not is_id(-1) and not is_id(True) and not is_id(1.0) and not is_id("1")
    assert is_numbers([1, 2.5], 2) and not is_numbers([1, 2.5], 3) and not is_numbers([1, True], 2)
    assert not is_numbers([1, float("nan")], 2) and not is_numbers((1, 2), 2) and not is_numbers(None, 0)


@pytest.mark.parametrize(
    ("line", "colour", "name"),
    [
        ('"road",1,2,3', (1, 2, 3), "road"), ('"road","1","2","3"', (1, 2, 3), "road"),
        ('1,2,3,"road"', (1, 2, 3), "road"), ('"road, wet",1,2,3', (1, 2, 3), "road, wet"),
        ('1,2,3,"5, six"', (1, 2, 3), "5, six"), ('7,"road",1,2', (7, 1, 2), "road"), ('"12,",1,2,3', (1, 2, 3), "12,"),
        ('"#ff0000",1,2,3', (1, 2, 3), "#ff0000"), ('"1,2,3,4",5,6,7', (5, 6, 7), "1,2,3,4"),
        ('"road";1;2;3', (1, 2, 3), "road"),
    ],
)  # fmt: skip
def test_a_quoted_name_and_three_numbers_are_a_colour_of_that_name(
    line: str, colour: tuple[int, ...], name: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(f'{line}\n"car",9,9,9\n')
    assert read_table(tmp_path / "a.csv") == {colour: name, (9, 9, 9): "car"}
