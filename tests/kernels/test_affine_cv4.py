"""The warp gives OpenCV 4's bits whatever OpenCV is installed; the expected ones were made by OpenCV 4.11."""

import hashlib
import json
import platform
from pathlib import Path

import cv2
import numpy as np
import pytest

from densecast.errors import BadShapeError
from densecast.kernels.affine_cv4 import three_point_matrix, warp_affine
from densecast.spec.pose_geometry import place

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "pose_warp.json").read_text())


def image(hw):
    return np.random.RandomState(hw[0] * 10007 + hw[1]).randint(0, 256, (*hw, 3)).astype(np.uint8)


def digest(pixels):
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("case", GOLDEN["placed"], ids=lambda case: f"{case['image_hw']}-{case['scale']}")
def test_pose_inputs_equal_the_originals_bit_for_bit(case):
    hw = tuple(case["image_hw"])
    placed = place(hw, case["short_side"], scale=case["scale"], min_scale=case["min_scale"])
    matrix = three_point_matrix(*placed.triangles())
    assert [[value.hex() for value in row] for row in matrix.tolist()] == case["matrix"]
    assert digest(warp_affine(image(hw), matrix, placed.model_hw)) == case["sha256"]


def test_three_points_lead_to_opencvs_own_matrix_on_x86():
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("OpenCV's own has other last bits on this machine: the cases above hold those of x86")
    random = np.random.RandomState(0)
    for scale in (1, 100, 2000) * 50:
        source, target = (random.random_sample((2, 3, 2)) * scale).astype(np.float32)
        np.testing.assert_array_equal(three_point_matrix(source, target), cv2.getAffineTransform(source, target))
    line = np.array([[0, 0], [1, 1], [2, 2]], np.float32)
    assert not three_point_matrix(line, target).any() and not cv2.getAffineTransform(line, target).any()


@pytest.mark.parametrize("case", GOLDEN["free"], ids=lambda case: str(case["matrix"]))
def test_any_matrix_gives_the_pixels_of_opencv_4(case):
    warped = warp_affine(image(case["image_hw"]), np.array(case["matrix"]), tuple(case["target_hw"]))
    assert digest(warped) == case["sha256"]


def test_grey_images_warp_as_each_channel_does():
    colour = image((40, 50))
    matrix = np.array([[1.3, 0.1, -3.0], [-0.1, 1.2, 4.0]])
    grey = warp_affine(np.ascontiguousarray(colour[..., 1]), matrix, (60, 70))
    np.testing.assert_array_equal(grey, warp_affine(colour, matrix, (60, 70))[..., 1])


@pytest.mark.parametrize(
    ("pixels", "matrix", "size_hw"),
    [
        (np.zeros((4, 4, 3), np.float32), np.eye(2, 3), (4, 4)),
        (np.zeros((0, 4, 3), np.uint8), np.eye(2, 3), (4, 4)),
        (np.zeros((4, 4, 3), np.uint8), np.eye(3), (4, 4)),
        (np.zeros((4, 4, 3), np.uint8), np.eye(2, 3), (4, 40000)),
        (np.zeros((4, 4, 3), np.uint8), np.eye(2, 3), (1, 32767)),
        (np.zeros((1, 32767), np.uint8), np.eye(2, 3), (1, 4)),
        (np.zeros((4, 4, 3), np.uint8), np.eye(2, 3), (0, 4)),
        (np.zeros(4, np.uint8), np.eye(2, 3), (4, 4)),
        (np.zeros((1, 4, 4, 3), np.uint8), np.eye(2, 3), (4, 4)),
    ],
)
def test_what_cannot_be_warped_is_refused(pixels, matrix, size_hw):
    with pytest.raises(BadShapeError):
        warp_affine(pixels, matrix, size_hw)


def test_the_longest_sides_are_warped():
    row = np.arange(32766, dtype=np.uint32).astype(np.uint8)[None]
    np.testing.assert_array_equal(warp_affine(row, np.eye(2, 3), (1, 32766)), row)
    np.testing.assert_array_equal(warp_affine(row.T, np.eye(2, 3), (32766, 1)), row.T)


def test_a_matrix_without_an_inverse_reads_the_first_pixel_as_opencv_does():
    pixels = image((6, 7))
    for matrix in (np.zeros((2, 3)), np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0]])):
        warped = warp_affine(pixels, matrix, (5, 4))
        np.testing.assert_array_equal(warped, np.broadcast_to(pixels[0, 0], (5, 4, 3)))
        np.testing.assert_array_equal(warped, cv2.warpAffine(pixels, matrix, (4, 5)))


def test_places_far_outside_are_black():
    pixels = np.full((6, 7, 3), 200, np.uint8)
    for far in (1e5, -1e5, 1e12, -1e12):
        for shift in ((far, 0.0), (0.0, far)):
            matrix = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
            assert not warp_affine(pixels, matrix, (5, 4)).any()
