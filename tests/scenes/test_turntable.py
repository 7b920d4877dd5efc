"""Turntable pictures follow from their numbers alone, and their masks are exact, varied and hard."""

import hashlib
import re
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from densecast.scenes import lens, turntable
from densecast.scenes.turntable import floor_light, paint

SMALL_HW = (160, 240)


def digest(scene: turntable.Scene) -> str:
    return hashlib.sha256(scene.image.tobytes() + scene.mask.tobytes()).hexdigest()


def test_equal_arguments_give_equal_pixels_in_any_order() -> None:
    first = [digest(turntable.render(4, index, SMALL_HW)) for index in (0, 1, 2)]
    second = [digest(turntable.render(4, index, SMALL_HW)) for index in (2, 1, 0)]
    assert first == second[::-1]


def test_another_process_draws_the_same_pixels() -> None:
    code = (
        "import hashlib; from densecast.scenes import turntable; "
        f"s = turntable.render(4, 1, {SMALL_HW}); "
        "print(hashlib.sha256(s.image.tobytes() + s.mask.tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest(turntable.render(4, 1, SMALL_HW))


def test_seeds_and_indices_give_different_pictures() -> None:
    pairs = [(seed, index) for seed in (0, 1, 2) for index in (0, 1, 16)]
    scenes = [turntable.render(seed, index, SMALL_HW) for seed, index in pairs]
    assert len({scene.image.tobytes() for scene in scenes}) == len(pairs)
    assert len({scene.mask.tobytes() for scene in scenes}) == len(pairs)
    assert len({scene.id for scene in scenes}) == len(pairs)


def test_ids_are_unique_and_sixteen_to_a_car() -> None:
    ids = [turntable.scene_id(0, index) for index in range(512)]
    assert len(set(ids)) == 512
    assert all(re.fullmatch(r"[0-9a-f]{12}_(0[1-9]|1[0-6])", name) for name in ids)
    assert len({name[:12] for name in ids[:16]}) == 16
    views: dict[str, set[str]] = {}
    for name in ids:
        views.setdefault(name[:12], set()).add(name[13:])
    assert len(views) == 32
    assert all(len(seen) == turntable.VIEWS for seen in views.values())


@pytest.mark.parametrize("size_hw", [(160, 240), (97, 151), (64, 64)])
def test_masks_hold_car_and_background_in_the_size_asked_for(size_hw: tuple[int, int]) -> None:
    for index in range(6):
        scene = turntable.render(3, index, size_hw)
        assert scene.image.shape == (*size_hw, 3)
        assert scene.image.dtype == scene.mask.dtype == np.uint8
        assert scene.mask.shape == size_hw
        assert set(np.unique(scene.mask)) == {0, 1}
        # Carvana's cars take 8 to 40 per cent of the picture.
        assert 0.04 < scene.mask.mean() < 0.5


def test_the_mask_is_what_changes_when_the_car_is_repainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures that differ in the car's colours alone differ inside the mask and its antialiased edge only."""
    real = paint.shade
    monkeypatch.setattr(floor_light, "mirror", lambda *arguments: None)
    monkeypatch.setattr(turntable, "barrier", lambda picture, rng, camera: np.zeros(SMALL_HW, np.float32))
    monkeypatch.setattr(lens, "photograph", lambda picture, rng: picture.copy())
    before = turntable.render(0, 5, SMALL_HW)
    monkeypatch.setattr(paint, "shade", lambda *arguments: real(*arguments) + np.float32(0.5))
    after = turntable.render(0, 5, SMALL_HW)
    change = np.abs(after.image.astype(np.float64) - before.image).max(axis=2)
    # Colours moved by one half, so the change is half the coverage, which is in quarters.
    np.testing.assert_array_equal(change > 0.24, before.mask == 1)
    far = ndimage.binary_dilation(before.mask, iterations=1, structure=np.ones((3, 3))) == 0
    assert np.count_nonzero(change[far]) <= 0.002 * change.size  # quarter-covered points of the aerial


@pytest.mark.slow
def test_a_third_of_the_cars_have_parts_thinner_than_three_pixels() -> None:
    thin = 0
    for index in range(15):
        mask = turntable.render(0, index).mask > 0
        left = mask & ~ndimage.binary_opening(mask, np.ones((3, 3)))
        _, count = ndimage.label(left, np.ones((3, 3)))
        # Corners lose a pixel or two to the opening; an aerial or a rail loses a line.
        extents = [max(s.stop - s.start for s in box) for box in ndimage.find_objects(_)] if count else [0]
        thin += max(extents) >= 8
    assert thin >= 5
