"""The highest peaks are those of pooling and torch.topk on the whole upsampled map, in the same order."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from densecast.kernels.pose_field import ceilings, field  # noqa: E402
from densecast.kernels.pose_peaks import cells, highest_peaks  # noqa: E402
from densecast.kernels.pose_scales import add_upsampled  # noqa: E402
from densecast.kernels.pose_topk import heapify, offer, sort_heap  # noqa: E402


def peaks_by_torch(full, most, radius, floor):
    heat = torch.from_numpy(full)[None]
    pooled = torch.nn.functional.max_pool2d(heat, 2 * radius + 1, 1, radius)
    value, index = (heat * (pooled == heat).float()).reshape(len(full), -1).topk(most, dim=1)
    return [(v[v > floor].numpy(), i[v > floor].numpy()) for v, i in zip(value, index, strict=True)]


def check(maps, size_hw, radius, most=30, floor=0.1):
    channel = np.arange(maps.shape[1])
    seen = field(maps[0], maps[1] if len(maps) > 1 else None, channel, channel[::-1].copy(), size_hw)
    ceiling = np.empty(maps.shape[1:], np.float32)
    full = np.zeros((len(channel), *size_hw), np.float32)
    assert ceilings(seen, ceiling)
    add_upsampled(seen, full)
    values, indices = np.empty((len(channel), most), np.float32), np.empty((len(channel), most), np.int64)
    tables = cells(seen.rows, seen.cols, maps.shape[2:])
    counts = highest_peaks(seen, ceiling, tables, np.float32(floor), radius, values, indices)
    for joint, (value, index) in enumerate(peaks_by_torch(full, most, radius, floor)):
        np.testing.assert_array_equal(indices[joint, : counts[joint]], index)
        np.testing.assert_array_equal(values[joint, : counts[joint]], value)


# How maps are made coarse decides how many plateaus and ties there are.
COARSE = {"smooth": 0, "thirds": 3, "eighths": 8, "zero or one": 1}


def maps_of(seed, source_hw, levels, images=2, lower=0.0):
    random = np.random.default_rng(seed)
    maps = random.random((images, 6, *source_hw)).astype(np.float32) - np.float32(lower)
    # Some joints are mostly flat ground, where plateaus reach across the map.
    maps[:, 2:] *= random.random((images, 4, *source_hw)) < 0.05
    if levels:
        maps = np.round(maps * levels) / np.float32(levels)
    return np.ascontiguousarray(maps, dtype=np.float32)


@pytest.mark.parametrize("radius", [0, 1, 2, 4])
@pytest.mark.parametrize("levels", COARSE.values(), ids=COARSE)
@pytest.mark.parametrize("images", [1, 2])
def test_equal_to_pooling_and_topk_at_four_times_the_size(radius, levels, images):
    for seed in range(3):
        check(maps_of(seed, (20, 32), levels, images), (80, 128), radius)


@pytest.mark.parametrize("size_hw", [(160, 256), (80, 128), (40, 64), (53, 81), (20, 32), (300, 500), (13, 20)])
@pytest.mark.parametrize("levels", [0, 3])
def test_equal_at_any_ratio(size_hw, levels):
    # 64 peaks asked for times 30 are more than a 20 x 32 map has: there torch sorts in another way.
    most = min(30, size_hw[0] * size_hw[1] // 64)
    check(maps_of(7, (20, 32), levels), size_hw, 2, most=most)


@pytest.mark.parametrize("lower", [0.3, 0.95, 1.5])
def test_equal_where_most_of_the_map_is_negative(lower):
    check(maps_of(11, (20, 32), 8, lower=lower), (80, 128), 2, floor=0.0)


@pytest.mark.parametrize("most", [1, 2, 17])
def test_equal_for_any_number_of_peaks(most):
    check(maps_of(13, (24, 40), 3), (96, 160), 2, most=most)


@pytest.mark.parametrize("size_hw", [(80, 128), (160, 256), (53, 81)])
@pytest.mark.parametrize("images", [1, 2])
def test_rises_that_rounding_flattens_have_their_whole_plateau(images, size_hw):
    # Neighbours that differ by one unit in the last place: halfway between them the blend is rounded to the larger one,
    # so that several pixels of a cell that rises throughout are the highest.
    pair = np.float32([1, np.nextafter(np.float32(1), np.float32(2))])
    row = np.concatenate([[0, 0], pair, [0, 0], pair[::-1], [0, 0]]).astype(np.float32)
    profile = np.float32(0.5) ** np.arange(12, dtype=np.float32)
    for plane in (np.outer(profile, np.tile(row, 2)), np.outer(np.tile(row, 2), profile)):
        check(np.ascontiguousarray(np.broadcast_to(plane, (images, 2, *plane.shape))), size_hw, 2)
    random = np.random.default_rng(images)
    for scale in (1, 1e-3, 300):
        near = np.float32(scale) * (
            1 + random.integers(0, 4, (images, 2, 20, 32)).astype(np.float32) * np.float32(2**-23)
        )
        check(np.ascontiguousarray(near, dtype=np.float32), size_hw, 2)


def test_a_wall_of_equal_values_is_cut_as_torch_cuts_it():
    check(np.full((1, 2, 20, 32), 0.5, np.float32), (80, 128), 2)


@pytest.mark.parametrize("seed", range(30))
def test_the_heap_orders_equal_values_as_topk_does(seed):
    random = np.random.default_rng(seed)
    most = int(random.integers(1, 31))
    values = random.integers(0, (2, 5, 50)[seed % 3], 64 * most + 100).astype(np.float32)
    wanted_values, wanted = torch.from_numpy(values)[None].topk(most, dim=1)
    kept, indices = values[:most].copy(), np.arange(most)
    heapify(kept, indices)
    for index in range(most, len(values)):
        offer(kept, indices, values[index], index)
    sort_heap(kept, indices)
    np.testing.assert_array_equal(kept, wanted_values[0].numpy())
    np.testing.assert_array_equal(indices, wanted[0].numpy())
