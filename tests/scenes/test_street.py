"""Street pictures follow from their numbers alone, and their classes are exact, complete and hard."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from densecast.scenes import street
from densecast.scenes.camera import Camera
from densecast.scenes.street import lens
from densecast.scenes.street.canvas import Canvas
from densecast.scenes.street.classes import Kind
from densecast.scenes.street.light import make_light
from densecast.scenes.street.shape import Shape, filled
from densecast.tasks.segmentation.palettes import CITYSCAPES, IGNORED

SMALL_HW = (128, 256)


def digest(scene: street.Scene) -> str:
    return hashlib.sha256(scene.image.tobytes() + scene.classes.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def twelve() -> list[street.Scene]:
    return [street.render(0, index, SMALL_HW) for index in range(12)]


@pytest.fixture(scope="module")
def sixty(twelve: list[street.Scene]) -> list[street.Scene]:
    return [*twelve, *(street.render(0, index, SMALL_HW) for index in range(12, 60))]


def test_equal_arguments_give_equal_pixels_in_any_order() -> None:
    first = [digest(street.render(4, index, SMALL_HW)) for index in (0, 1, 2)]
    second = [digest(street.render(4, index, SMALL_HW)) for index in (2, 1, 0)]
    assert first == second[::-1]


def test_another_process_draws_the_same_pixels() -> None:
    code = (
        "import hashlib; from densecast.scenes import street; "
        f"s = street.render(4, 1, {SMALL_HW}); "
        "print(hashlib.sha256(s.image.tobytes() + s.classes.tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest(street.render(4, 1, SMALL_HW))


def test_seeds_and_indices_give_different_pictures() -> None:
    scenes = [street.render(seed, index, SMALL_HW) for seed in (0, 1) for index in (1, 9)]
    assert len({scene.image.tobytes() for scene in scenes}) == 4
    assert len({scene.classes.tobytes() for scene in scenes}) == 4


@pytest.mark.parametrize("size_hw", [(128, 256), (97, 151), (64, 64)])
def test_pictures_have_the_size_asked_for(size_hw: tuple[int, int]) -> None:
    scene = street.render(3, 0, size_hw)
    assert scene.image.shape == (*size_hw, 3)
    assert scene.classes.shape == size_hw
    assert scene.image.dtype == scene.classes.dtype == np.uint8


def test_train_ids_are_the_packages_cityscapes_labels() -> None:
    names = [Kind(number).name.lower().replace("_", " ") for number in range(19)]
    assert names == list(CITYSCAPES)
    assert Kind.UNLABELLED == IGNORED


@pytest.mark.slow
def test_classes_are_train_ids_or_ignored(sixty: list[street.Scene]) -> None:
    for scene in sixty:
        assert set(np.unique(scene.classes)) <= {*range(19), 255}


@pytest.mark.slow
def test_every_class_is_in_one_picture_of_twenty_or_more(sixty: list[street.Scene]) -> None:
    there = {kind: sum((scene.classes == int(kind)).any() for scene in sixty) for kind in Kind}
    assert {kind.name: count for kind, count in there.items() if count < 3} == {}


@pytest.mark.slow
def test_a_street_is_mostly_road_houses_and_sky(twelve: list[street.Scene]) -> None:
    share = np.mean(
        [np.bincount(scene.classes.reshape(-1), minlength=256) / scene.classes.size for scene in twelve], axis=0
    )
    # Cityscapes has 33, 20 and 4 per cent of these; the rest is small there, too.
    assert share[Kind.ROAD] > 0.2
    assert share[Kind.BUILDING] > 0.15
    assert 0.02 < share[Kind.SKY] < 0.25
    assert 0 < share[Kind.UNLABELLED] < 0.1


@pytest.mark.slow
def test_most_pictures_have_poles_thinner_than_three_pixels(twelve: list[street.Scene]) -> None:
    thin = 0
    for scene in twelve:
        pole = scene.classes == int(Kind.POLE)
        left = pole & ~ndimage.binary_opening(pole, np.ones((1, 3)))
        labels, _ = ndimage.label(left, np.ones((3, 3)))
        # Taller than anything that the opening shaves off a thick post.
        thin += any(box[0].stop - box[0].start >= 12 for box in ndimage.find_objects(labels))
    assert thin >= 7


def ray_meets(camera: Camera, size_hw: tuple[int, int], quad: np.ndarray, shift_px: tuple[float, float]) -> np.ndarray:
    """(H, W) whether the ray through each pixel's centre, moved by (x, y), meets a parallelogram (4, 3)."""
    (x, y), across, up = camera.centre_px, quad[1] - quad[0], quad[3] - quad[0]
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    right, down = (columns + shift_px[0] - x) / camera.focal_px, (rows + shift_px[1] - y) / camera.focal_px
    sine, cosine = np.sin(camera.pitch_rad), np.cos(camera.pitch_rad)
    rays = np.stack([right, cosine - down * sine, -sine - down * cosine], axis=-1)
    matrix = np.stack(np.broadcast_arrays(across, up, -rays), axis=-1)
    start = np.array([0, 0, camera.height_m]) - quad[0]
    u, v, _ = np.moveaxis(np.linalg.solve(matrix, np.broadcast_to(start, rays.shape)[..., None])[..., 0], -1, 0)
    return (u > 0) & (u < 1) & (v > 0) & (v < 1)


@pytest.mark.parametrize("seed", range(5))
def test_a_class_is_what_a_ray_through_the_pixels_centre_meets(seed: int) -> None:
    size_hw, rng = (96, 160), np.random.default_rng(seed)
    camera = Camera(0.0, 1.4, 0.05, 150.0, (75.3, 50.1))
    canvas = Canvas(camera, size_hw, make_light(rng))
    corner, (across, up) = (
        np.array([-2.0, 9.0, 0.1]),
        rng.uniform(-0.6, 0.6, (2, 3)) + np.array([[4, 0, 0], [0, 0, 2.2]]),
    )
    quad = np.stack([corner, corner + across, corner + across + up, corner + up])
    canvas.paint([filled(quad, (0.5, 0.5, 0.5), Kind.BUS)])
    _, classes = canvas.developed()
    # OpenCV draws outlines, too: they reach up to a sample, half a pixel, beyond the geometry.
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    around = [ray_meets(camera, size_hw, quad, (0.6 * np.cos(t), 0.6 * np.sin(t))) for t in turns]
    inside = ray_meets(camera, size_hw, quad, (0.0, 0.0))
    sure = np.all(around, axis=0) | ~np.any(around, axis=0)
    assert inside.sum() > 500
    assert (~sure).sum() < 1.4 * 2 * (np.ptp(np.nonzero(inside)[0]) + np.ptp(np.nonzero(inside)[1]))
    np.testing.assert_array_equal((classes == int(Kind.BUS))[sure], inside[sure])


def test_the_class_is_what_changes_when_the_cars_are_repainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures that differ in the cars' colours alone differ in cars and in the pixels beside them only."""
    monkeypatch.setattr(lens, "photograph", lambda rng, picture, classes, light: picture)
    real, found = Canvas.paint, 0
    for index in range(4):
        before = street.render(2, index, SMALL_HW)

        def repainted(canvas: Canvas, shapes: list[Shape]) -> None:
            real(
                canvas, [Shape(s.points, (1, 0, 1), s.kind, s.diameter_m) if s.kind is Kind.CAR else s for s in shapes]
            )

        with monkeypatch.context() as patch:
            patch.setattr(Canvas, "paint", repainted)
            after = street.render(2, index, SMALL_HW)
        np.testing.assert_array_equal(before.classes, after.classes)
        change = np.abs(after.image - before.image).max(axis=2)
        cars = before.classes == int(Kind.CAR)
        found += np.count_nonzero(cars)
        # The sample at the centre has a quarter of the weight, and no car is painted within 0.1 of pure magenta.
        assert change[cars].min() > 0.02
        # A pixel's colour reaches half a pixel beyond its edge, so only neighbours of a car's samples change.
        far = ~ndimage.binary_dilation(cars, np.ones((3, 3)))
        assert np.count_nonzero(change[far] > 0.3) <= 0.002 * change.size
    assert found > 1000
