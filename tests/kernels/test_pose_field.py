"""Values read from small maps are the bits that torch's upsampling stores."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from densecast.kernels.pose_field import SLACK, ceilings, field, is_in_range  # noqa: E402
from densecast.kernels.pose_scales import add_upsampled, divide  # noqa: E402

SIZES = [
    ((128, 176), (512, 704)),
    ((32, 48), (128, 192)),
    ((33, 50), (131, 197)),
    ((64, 64), (64, 65)),
    ((16, 24), (128, 192)),
    ((100, 140), (61, 90)),
    ((1, 40), (4, 160)),
]


def maps_of(source_hw, seed=0, channels=5):
    random = np.random.default_rng(seed)
    return random.normal(0, 1, (2, channels, *source_hw)).astype(np.float32)


def upsampled(array, size_hw):
    return torch.nn.functional.interpolate(
        torch.from_numpy(np.ascontiguousarray(array))[None], size_hw, mode="bilinear", align_corners=False
    )[0].numpy()


@pytest.mark.parametrize(("source_hw", "size_hw"), SIZES)
def test_one_image_reads_as_torch_upsamples(source_hw, size_hw):
    maps, channel = maps_of(source_hw), np.array([3, 0, 4])
    total = np.zeros((3, *size_hw), np.float32)
    add_upsampled(field(maps[0], None, channel, channel, size_hw), total)
    np.testing.assert_array_equal(total, upsampled(maps[0], size_hw)[channel])


@pytest.mark.parametrize(("source_hw", "size_hw"), SIZES)
def test_the_mean_with_the_mirrored_image_is_torchs(source_hw, size_hw):
    maps, channel, mirror_channel = maps_of(source_hw, 1), np.array([0, 1, 2]), np.array([2, 1, 0])
    total = np.zeros((3, *size_hw), np.float32)
    add_upsampled(field(maps[0], maps[1], channel, mirror_channel, size_hw), total)
    # All five channels at once: of exactly three, torch on one thread rounds in another order.
    plain, unmirrored = upsampled(maps[0], size_hw)[channel], upsampled(maps[1][:, :, ::-1], size_hw)[mirror_channel]
    wanted = (torch.from_numpy(plain) + torch.from_numpy(unmirrored)) / 2.0
    np.testing.assert_array_equal(total, wanted.numpy())


@pytest.mark.parametrize("size_hw", [(61, 90), (128, 192)])
def test_aligned_corners_are_read_as_torch_upsamples_them(size_hw):
    maps, channel = maps_of((33, 50), 4), np.array([0, 1, 2, 3, 4])
    found = []
    for image in (None, maps[1]):
        total = np.zeros((5, *size_hw), np.float32)
        add_upsampled(field(maps[0], image, channel, channel, size_hw, align_corners=True), total)
        found.append(total)
    plain, other = (
        torch.nn.functional.interpolate(
            torch.from_numpy(each.copy())[None], size_hw, mode="bilinear", align_corners=True
        )
        for each in (maps[0], maps[1][:, :, ::-1])
    )
    np.testing.assert_array_equal(found[0], plain[0].numpy())
    np.testing.assert_array_equal(found[1], ((plain + other) / 2.0)[0].numpy())


def test_division_is_in_float32():
    total = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    wanted = (torch.from_numpy(total.copy()) / 3).numpy()
    divide(total, 3)
    np.testing.assert_array_equal(total, wanted)


@pytest.mark.parametrize("magnitude", [1.0, 1e-30, 1e6])
@pytest.mark.parametrize(("source_hw", "size_hw"), SIZES)
def test_no_value_exceeds_the_ceilings_it_is_blended_from(source_hw, size_hw, magnitude):
    maps = maps_of(source_hw, 2, channels=1) * np.float32(magnitude)
    # Cancellation between the two images is where rounding shows most.
    maps[1] = -maps[0][:, :, ::-1] * np.float32(0.999)
    seen = field(maps[0], maps[1], np.array([0]), np.array([0]), size_hw)
    ceiling, total = np.empty((1, *source_hw), np.float32), np.zeros((1, *size_hw), np.float32)
    assert ceilings(seen, ceiling)
    add_upsampled(seen, total)
    corners = [ceiling[0][seen.rows[y]][:, seen.cols[x]] for y in ("first", "second") for x in ("first", "second")]
    assert (total[0] <= np.max(corners, axis=0)).all()
    assert SLACK < 1e-5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2e12])
@pytest.mark.parametrize("image", [0, 1])
def test_what_is_not_finite_or_absurd_is_seen(bad, image):
    maps = maps_of((8, 12), 3)
    maps[image, 1, 7, 11] = bad
    channel = np.array([0, 1])
    seen = field(maps[0], maps[1], channel, channel, (32, 48))
    assert not is_in_range(seen)
    assert not ceilings(seen, np.empty((2, 8, 12), np.float32))


def test_values_up_to_the_largest_that_is_taken_are_in_range():
    maps, channel = np.zeros((2, 2, 8, 12), np.float32), np.array([0, 1])
    ceiling = np.empty((2, 8, 12), np.float32)
    for image, value in ((0, 1e12), (0, -1e12), (1, 1e12), (1, -1e12)):
        maps[:] = 0
        maps[image, 1, 7, 11] = value
        seen = field(maps[0], maps[1], channel, channel, (32, 48))
        assert is_in_range(seen) and ceilings(seen, ceiling)
        assert is_in_range(field(maps[0], None, channel, channel, (32, 48)))
        maps[image, 1, 7, 11] = value * 1.01
        assert not is_in_range(seen) and not ceilings(seen, ceiling)
    # Maps of channels that no joint has do not count.
    assert is_in_range(field(maps[0], maps[1], channel[:1], channel[:1], (32, 48)))
