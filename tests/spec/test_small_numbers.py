"""Arithmetic of sizes, steps and places, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from densecast.errors import BadConfigError, BadShapeError, UsageError
from densecast.spec.georeference import Georeference
from densecast.spec.infer_options import InferOptions
from densecast.spec.slide import Slide
from densecast.spec.store_options import StoreOptions
from densecast.spec.tensor import Dim, TensorSpec
from densecast.spec.tiles import Grid


@pytest.mark.parametrize(
    ("dim", "near", "typical"),
    [
        (Dim("H", 32, 2048, 48), 512, 480),
        (Dim("H", 32, 2048, 48), 40, 48),  # the smallest that there is
        (Dim("H", 1, 100), 512, 100),
        (Dim("H", 600, 2048, 16), 512, 608),
        (Dim("H", 8, 512, 8), 512, 512),
        (Dim("H", 8, 512, 8), 511, 504),
    ],
)
def test_a_typical_size_is_admissible_and_about_what_was_asked(dim: Dim, near: int, typical: int) -> None:
    assert dim.typical(near) == typical
    assert dim.max == typical or dim.admits(typical)


def test_sizes_at_both_ends_are_admitted_and_those_beyond_or_between_steps_are_not() -> None:
    dim = Dim("H", 16, 48, 16)
    assert [size for size in range(80) if dim.admits(size)] == [16, 32, 48]
    assert str(dim) == "H in 16..48 step 16" and str(Dim("N", 1, 4)) == "N in 1..4"


def test_a_tensors_typical_shape_has_the_batch_that_is_asked_for_or_the_smallest() -> None:
    spec = TensorSpec("image", "float32", (Dim("N", 2, 8), 3, Dim("H", 8, 64, 8), 40))
    assert spec.typical_shape(33) == (2, 3, 32, 40) and spec.typical_shape(33, 5) == (5, 3, 32, 40)
    fixed = TensorSpec("image", "uint8", (1, 3, 8, 8))
    assert fixed.typical_shape(99) == (1, 3, 8, 8) and fixed.is_static and not spec.is_static
    fixed.check(np.zeros((1, 3, 8, 8), np.uint8))
    for wrong in (np.zeros((1, 3, 8, 8), np.float32), np.zeros((1, 3, 8, 9), np.uint8), np.zeros((3, 8, 8), np.uint8)):
        with pytest.raises(BadShapeError, match="must be"):
            fixed.check(wrong)


@pytest.mark.parametrize(("tile", "overlap", "align", "step"), [(64, 16, 16, 48), (64, 17, 16, 32), (64, 48, 16, 16)])
def test_tiles_move_on_by_whole_steps_and_no_further_than_what_they_do_not_share(
    tile: int, overlap: int, align: int, step: int
) -> None:
    assert Grid(tile, overlap, align, 1, False).step_px == step
    with pytest.raises(BadConfigError, match="do not move on by the 16"):
        _ = Grid(64, 49, 16, 1, False).step_px


@pytest.mark.parametrize("side", [32, 33, 40, 57, 64, 100, 131])
@pytest.mark.parametrize("fixed", [False, True])
def test_tiles_cover_a_side_once_with_what_they_keep(side: int, fixed: bool) -> None:
    grid = Grid(32, 8, 8, 2, fixed)
    padded = grid.padded(side) if fixed else side
    tiles = grid.tiles(padded)
    kept: list[int] = []
    for tile in tiles:
        # `begin` and `end` are cells of the output, which are two pixels each.
        end = (padded + 1) // 2 if tile.end is None else tile.end
        kept += range(tile.begin, end)
        assert tile.start % 8 == 0 and tile.start // 2 <= tile.begin and tile.start + tile.length <= padded
    assert kept == list(range((padded + 1) // 2))
    assert tiles[-1].start + tiles[-1].length == padded
    if fixed:
        assert padded - side < 8 or padded == 32
        assert {tile.length for tile in tiles} == {32}


def test_windows_are_no_larger_than_the_input_and_end_with_it() -> None:
    slide = Slide((4, 6), (3, 4))
    assert slide.window_hw((3, 9)) == (3, 6) and slide.window_hw((9, 5)) == (4, 5)
    assert [(w.top, w.left, w.height, w.width) for w in slide.windows((5, 11))] == [
        (0, 0, 4, 6), (0, 4, 4, 6), (0, 5, 4, 6), (1, 0, 4, 6), (1, 4, 4, 6), (1, 5, 4, 6),
    ]  # fmt: skip
    rows, columns = slide.counts((5, 11))
    counted = np.zeros((5, 11), int)
    for w in slide.windows((5, 11)):
        counted[w.top : w.top + w.height, w.left : w.left + w.width] += 1
    np.testing.assert_array_equal(np.outer(rows, columns), counted)


def test_windows_of_one_pixel_are_windows_and_of_none_are_not() -> None:
    assert len(Slide((1, 1), (1, 1)).windows((2, 3))) == 6
    assert Slide((65536, 65536), (65536, 1)).window_hw((9, 70000)) == (9, 65536)
    for crop, stride in (((0, 4), (1, 1)), ((4, 4), (4, 0)), ((4, 4), (4, 5)), ((65537, 4), (4, 4))):
        with pytest.raises(BadConfigError, match="windows"):
            Slide(crop, stride)


@pytest.mark.parametrize(
    ("make", "good", "bad"),
    [
        (lambda size: StoreOptions("run", shard_size=size), (1, 9), (0, -1)),
        (lambda shard: StoreOptions("run", shard=shard), ("1/1", "3/16", "16/16"), ("0/3", "4/3", "3", "a/b", "1/0")),
        (lambda tile: InferOptions(large=True, tile=tile), ((1, 1), (64, 1)), ((0, 64), (64, 0))),
        (lambda overlap: InferOptions(large=True, overlap=overlap), (0, 5), (-1,)),
        (lambda every: InferOptions(every=every), (1, 2), (0,)),
        (lambda seconds: InferOptions(seconds=seconds), (0.1, 5.0), (0.0, -1.0, float("nan"))),
    ],
)
def test_options_hold_up_to_their_ends_and_no_further(make: Callable[[Any], object], good: Any, bad: Any) -> None:
    for value in good:
        make(value)
    for value in bad:
        with pytest.raises(UsageError):
            make(value)


def test_a_rasters_place_is_that_of_its_pixels_corners() -> None:
    place = Georeference((2.0, 0.5, 100.0, -0.25, -3.0, 900.0), "epsg:32632")
    assert place.pixel_area == abs(2.0 * -3.0 - 0.5 * -0.25)
    # The first pixel of the part is at column 4 and row 10 of the whole.
    assert place.shifted(4, 10).transform == (2.0, 0.5, 2 * 4 + 0.5 * 10 + 100, -0.25, -3.0, -0.25 * 4 - 3 * 10 + 900)
    assert place.crs_urn == "urn:ogc:def:crs:EPSG::32632" and not place.is_lon_lat
    assert Georeference.from_gdal((100.0, 2.0, 0.5, 900.0, -0.25, -3.0), place.crs) == place
    assert Georeference(place.transform, "EPSG:4326").is_lon_lat and Georeference(place.transform).crs_urn is None
    with pytest.raises(BadConfigError, match="need an area"):
        Georeference((1.0, 2.0, 0.0, 2.0, 4.0, 0.0))


@pytest.mark.parametrize(
    ("said", "images", "allowed"),
    [
        *(("0", 1000, 0), ("7", 3, 7), ("10.0", 1000, 10), (" 4 ", 9, 4)),
        # A share never lets more fail than it says: 2.9 images of 290 are two.
        *(("1%", 290, 2), ("1%", 300, 3), ("2.5%", 1000, 25), ("0%", 1000, 0), ("100%", 7, 7), ("1%", 99, 0)),
    ],
)
def test_so_many_images_may_fail(said: str, images: int, allowed: int) -> None:
    assert StoreOptions("run", max_errors=said).allowed_errors(images) == allowed


@pytest.mark.parametrize("said", ["", "%", "-1", "-1%", "2.5", "100.5%", "nan", "nan%", "inf", "inf%", "some", "1%%"])
def test_what_is_no_number_or_share_of_images_is_refused(said: str) -> None:
    with pytest.raises(UsageError) as refused:
        StoreOptions("run", max_errors=said)
    assert refused.value.field == "max_errors"


@pytest.mark.parametrize(
    ("on", "address"), [("local", None), ("ray", ""), ("ray:10.0.0.1:6379", "10.0.0.1:6379"), ("ray://a", "//a")]
)
def test_a_cluster_is_named_by_what_follows_the_colon(on: str, address: str | None) -> None:
    assert StoreOptions("run", on=on).ray_address == address
    with pytest.raises(UsageError):
        StoreOptions("run", on=f"x{on}")


def test_a_part_is_a_number_and_how_many_there_are() -> None:
    assert StoreOptions("run", shard="3/16").part == (3, 16) and StoreOptions("run").part is None
