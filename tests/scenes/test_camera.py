"""The pinhole camera agrees with OpenCV's, and the ground's pixels come back to where they were."""

import cv2
import numpy as np

from densecast.scenes.camera import Camera

CAMERA = Camera(distance_m=7.5, height_m=1.8, pitch_rad=0.14, focal_px=900.0, centre_px=(470.0, 320.0))


def test_projection_equals_opencv() -> None:
    points = np.random.default_rng(0).uniform(-2.5, 2.5, (40, 3)).astype(np.float32)
    sine, cosine = np.sin(CAMERA.pitch_rad), np.cos(CAMERA.pitch_rad)
    # OpenCV's camera looks along its z, with y down.
    rotation = np.array([[1, 0, 0], [0, -sine, -cosine], [0, cosine, -sine]])
    moved = -rotation @ CAMERA.position.astype(np.float64)
    matrix = np.array([[900.0, 0, 470], [0, 900.0, 320], [0, 0, 1]])
    wanted, _ = cv2.projectPoints(points.astype(np.float64), cv2.Rodrigues(rotation)[0], moved, matrix, None)
    found, depth = CAMERA.project(points)
    # float32 at coordinates of a thousand pixels: some units of 2^-14.
    np.testing.assert_allclose(found, wanted[:, 0], atol=1e-3)
    np.testing.assert_allclose(depth, (points @ rotation.T + moved)[:, 2], atol=1e-5)


def test_ground_comes_back_to_its_pixels() -> None:
    x, y = CAMERA.ground((640, 959), 400)
    row, column = 57, 333
    points = np.array([[x[row, column], y[row, 0], 0.0]], dtype=np.float32)
    found, _ = CAMERA.project(points)
    # Two float32 divisions and back: well under a hundredth of a pixel.
    np.testing.assert_allclose(found[0], [column + 0.5, 400 + row + 0.5], atol=0.01)


def test_far_ground_lies_at_the_horizon() -> None:
    found, _ = CAMERA.project(np.array([[0.0, 1e6, 0.0]], dtype=np.float32))
    assert abs(found[0, 1] - CAMERA.horizon_px) < 0.1


def test_enlarged_scales_pixels() -> None:
    points = np.array([[0.3, 0.2, 0.9]], dtype=np.float32)
    np.testing.assert_allclose(CAMERA.enlarged(2).project(points)[0], 2 * CAMERA.project(points)[0], rtol=1e-6)
