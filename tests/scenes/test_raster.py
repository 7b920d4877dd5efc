"""A drawn ball covers the pixels, places and slopes that rays through the pixels find."""

import numpy as np
from scipy import ndimage

from densecast.scenes import mesh, raster
from densecast.scenes.camera import Camera

CAMERA = Camera(distance_m=6.0, height_m=1.2, pitch_rad=0.1, focal_px=300.0, centre_px=(120.0, 80.0))
SIZE_HW = (160, 240)
CENTRE, RADIUS_M = np.array([0.2, 0.1, 0.9]), 0.8


def ball() -> mesh.Mesh:
    return mesh.ball(CENTRE.astype(np.float32), (RADIUS_M,) * 3, part=7, rings=60, sectors=90)


def hits() -> tuple[np.ndarray, np.ndarray]:
    """Rays through the pixel centres against the sphere: (H, W) hit or not, (H, W, 3) where."""
    rows, columns = np.mgrid[0 : SIZE_HW[0], 0 : SIZE_HW[1]] + 0.5
    right, down = (columns - 120) / 300, (rows - 80) / 300
    sine, cosine = np.sin(0.1), np.cos(0.1)
    ray = np.stack([right, cosine - down * sine, -sine - down * cosine], axis=-1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    start = np.array([0, -6.0, 1.2]) - CENTRE
    along = -(ray @ start)
    inside = along**2 - (start @ start - RADIUS_M**2)
    reach = along - np.sqrt(np.maximum(inside, 0))
    return inside > 0, start + CENTRE + ray * reach[..., None]


def test_coverage_of_a_ball_is_the_rays() -> None:
    seen = raster.surface(ball(), 0.0, CAMERA, SIZE_HW)
    wanted, _ = hits()
    differing = (seen.coverage >= 0.5) != wanted
    # The outline is about 250 pixels long; drawing and rays may differ by half a pixel there, nowhere else.
    assert wanted.sum() > 4000
    assert differing.sum() < 130


def test_places_and_normals_of_a_ball_are_the_rays() -> None:
    seen = raster.surface(ball(), 0.0, CAMERA, SIZE_HW)
    wanted, place = hits()
    chosen = ndimage.binary_erosion(wanted, iterations=12).reshape(-1)[seen.pixel]
    assert chosen.sum() > 3000
    # Samples sit a quarter of a pixel from the centre, 5 mm on the ball, and the quads are flat: 2 mm.
    np.testing.assert_allclose(seen.place[:, chosen].T, place.reshape(-1, 3)[seen.pixel[chosen]], atol=0.02)
    outward = (seen.place[:, chosen].T - CENTRE) / RADIUS_M
    np.testing.assert_allclose(seen.normal[:, chosen].T, outward, atol=0.05)


def test_weights_of_a_pixel_sum_to_its_coverage() -> None:
    seen = raster.surface(ball(), 0.4, CAMERA, SIZE_HW)
    total = np.bincount(seen.pixel, seen.weight, minlength=SIZE_HW[0] * SIZE_HW[1])
    np.testing.assert_allclose(total, seen.coverage.reshape(-1), atol=1e-6)
    for group in seen.rounds:
        assert len(np.unique(seen.pixel[group])) == group.stop - group.start


def test_the_nearer_of_two_hides_the_other() -> None:
    near = mesh.ball(np.array([0, -2, 1], dtype=np.float32), (0.3,) * 3, part=1)
    far = mesh.ball(np.array([0, 2, 1], dtype=np.float32), (1.5,) * 3, part=2)
    for order in ([near, far], [far, near]):
        seen = raster.surface(mesh.join(order), 0.0, CAMERA, SIZE_HW)
        (middle,) = CAMERA.project(np.array([[0, -2, 1]], dtype=np.float32))[0].astype(int)
        at_middle = seen.pixel == middle[1] * SIZE_HW[1] + middle[0]
        assert set(seen.part[at_middle]) == {1}


def test_nothing_in_view_gives_an_empty_surface() -> None:
    aside = mesh.ball(np.array([40, 10, 1], dtype=np.float32), (0.3,) * 3, part=1)
    seen = raster.surface(aside, 0.0, CAMERA, SIZE_HW)
    assert len(seen.pixel) == 0
    assert not seen.coverage.any()
