"""The bounded search for missing joints finds what a search of the whole map finds."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import plain_pose  # noqa: E402

from densecast.kernels.pose_field import ceilings, field  # noqa: E402
from densecast.kernels.pose_refine import adjust, fill_missing, tiling  # noqa: E402
from densecast.kernels.pose_scales import add_upsampled  # noqa: E402


def check(maps, size_hw, people, centre=0.5):
    joints = np.arange(17)
    source_hw = maps.shape[2:]
    mirrored = maps[1] if len(maps) > 1 else None
    heat = field(maps[0], mirrored, joints, joints, size_hw)
    tag = field(maps[0], mirrored, joints + 17, joints + 17, size_hw)
    ceiling, full = np.empty((17, *source_hw), np.float32), np.zeros((17, *size_hw), np.float32)
    assert ceilings(heat, ceiling)
    add_upsampled(heat, full)
    full_tags = []
    for image in (maps[0], *([maps[1][:, :, ::-1]] if len(maps) > 1 else [])):
        total = np.zeros((17, *size_hw), np.float32)
        add_upsampled(field(np.ascontiguousarray(image), None, joints + 17, joints, size_hw), total)
        full_tags.append(total)
    wanted = people.copy()
    for person in wanted:
        plain_pose.refine(full, np.stack(full_tags, axis=-1), person, centre)
    found = people.copy()
    tiles = tiling(heat.rows, heat.cols, tag.rows, tag.cols, source_hw)
    fill_missing(heat, tag, ceiling, tiles, found, np.float32(centre))  # as it is called: one compilation
    np.testing.assert_array_equal(found, wanted)


def people_of(random, size_hw, count=4):
    people = np.zeros((count, 17, 3), np.float32)
    people[..., 0] = random.integers(0, size_hw[1], (count, 17))
    people[..., 1] = random.integers(0, size_hw[0], (count, 17))
    people[..., 2] = random.random((count, 17))
    people[random.random((count, 17)) < 0.5] = 0
    people[:, 0, 2] = 0.5
    return people


# The largest takes most of the time, and is of one ratio more alone.
SIZES_AND_SPREADS = [
    ((160, 256), 1.0),
    *(((h, w), each) for h, w in ((80, 128), (20, 32), (53, 81)) for each in (0.2, 1, 6)),
]


@pytest.mark.parametrize(("size_hw", "spread"), SIZES_AND_SPREADS)
@pytest.mark.parametrize("images", [1, 2])
def test_equal_to_the_whole_search_for_any_ratio_and_spread_of_tags(size_hw, images, spread):
    random = np.random.default_rng(int(spread * 10))
    maps = random.random((images, 34, 20, 32)).astype(np.float32)
    maps[:, 17:] = random.normal(0, spread, maps[:, 17:].shape)
    check(maps, size_hw, people_of(random, size_hw))


def test_places_count_from_the_centre_that_is_given():
    random = np.random.default_rng(3)
    maps = random.random((2, 34, 20, 32)).astype(np.float32)
    check(maps, (80, 128), people_of(random, (80, 128)), centre=0.0)


@pytest.mark.parametrize("levels", [0, 3])
def test_found_joints_move_a_quarter_towards_the_larger_neighbour(levels):
    random = np.random.default_rng(4)
    maps = random.random((2, 17, 20, 32)).astype(np.float32)
    if levels:  # equal neighbours move towards zero
        maps = np.round(maps * levels) / np.float32(levels)
    heat = field(maps[0], maps[1], np.arange(17), np.arange(17), (80, 128))
    full = np.zeros((17, 80, 128), np.float32)
    add_upsampled(heat, full)
    people = people_of(random, (80, 128), count=30)
    # Corners and borders, where one neighbour is the pixel itself.
    people[:8, 0] = [(x, y, 0.5) for x in (0, 1, 126, 127) for y in (0, 79)]
    wanted = people.copy()
    for person, joint in zip(*np.nonzero(people[..., 2] > 0), strict=True):
        x, y = people[person, joint, :2].astype(int)
        wanted[person, joint, :2] += np.add(plain_pose.shift(full[joint], x, y), 0.5)
    adjust(heat, people)
    np.testing.assert_array_equal(people, wanted)


@pytest.mark.parametrize("levels", [1, 4])
def test_of_equal_places_the_first_is_taken(levels):
    random = np.random.default_rng(levels)
    maps = np.floor(random.random((2, 34, 20, 32)) * (levels + 1)).astype(np.float32) / levels
    check(maps, (80, 128), people_of(random, (80, 128)))


def test_values_lost_in_a_large_penalty_tie_as_they_do_in_the_whole_search():
    random = np.random.default_rng(5)
    maps = random.random((2, 34, 20, 32)).astype(np.float32) * np.float32(1e-7)
    maps[:, 17:] = 0
    people = people_of(random, (80, 128))
    maps[:, 17, :10] = 9.0
    check(maps, (80, 128), people)


def test_heatmaps_above_one_can_outweigh_a_penalty():
    random = np.random.default_rng(6)
    maps = (random.random((2, 34, 20, 32)) * 5).astype(np.float32)
    check(maps, (80, 128), people_of(random, (80, 128)))


def test_negative_heatmaps_fill_nothing():
    random = np.random.default_rng(7)
    maps = -random.random((2, 34, 20, 32)).astype(np.float32) - np.float32(0.01)
    people = people_of(random, (80, 128))
    check(maps, (80, 128), people)


def test_where_a_penalty_swallows_every_value_the_first_pixel_is_taken():
    random = np.random.default_rng(8)
    maps = random.random((2, 34, 20, 32)).astype(np.float32)
    maps[:, 17] = np.float32(1e11)
    maps[:, 18:] = np.float32(-1e11)
    check(maps, (80, 128), people_of(random, (80, 128)))
