"""Resizing in whole numbers gives the bits of OpenCV on x86, and takes its place where OpenCV gives others."""

from __future__ import annotations

import platform

import cv2
import numpy as np
import pytest

from densecast.imaging import prepare
from densecast.kernels import bilinear_cv

IS_X86 = platform.machine() in ("x86_64", "AMD64")
EDGES = (
    *((64, 96, 32, 48), (64, 96, 32, 96), (64, 96, 64, 48), (64, 96, 16, 24), (64, 96, 128, 192), (51, 70, 25, 35)),
    *((1, 1, 5, 5), (5, 1, 3, 7), (2, 2, 1, 1), (3, 3, 1, 1), (1, 9, 4, 3), (300, 400, 100, 133), (65, 97, 32, 48)),
)


def picture(random: np.random.RandomState, height: int, width: int, channels: int) -> np.ndarray:
    return random.randint(0, 256, (height, width, channels)).astype(np.uint8)


@pytest.mark.skipif(not IS_X86, reason="OpenCV gives other values on this machine: there is nothing to compare with")
@pytest.mark.parametrize("channels", bilinear_cv.CHANNELS)
def test_every_size_has_opencvs_bits(channels: int) -> None:
    random = np.random.RandomState(channels)
    sizes = [*EDGES, *(tuple(int(side) for side in random.randint(1, 160, 4)) for _ in range(60))]
    for height, width, to_height, to_width in sizes:
        image = picture(random, height, width, channels)
        wanted = cv2.resize(image, (to_width, to_height), interpolation=cv2.INTER_LINEAR)
        found = bilinear_cv.resize(image, (to_height, to_width))
        np.testing.assert_array_equal(
            found.reshape(wanted.shape), wanted, err_msg=str((height, width, to_height, to_width))
        )


def test_black_and_white_stay_so() -> None:
    for value in (0, 255):
        assert (bilinear_cv.resize(np.full((7, 5), value, np.uint8), (31, 3)) == value).all()


def test_a_machine_of_another_kind_is_given_the_same_input(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(np.random.RandomState(0), 40, 61, 3)
    wanted = prepare.resize(image, (33, 70), "bilinear_opencv")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    def refuse(*given: object, **named: object) -> None:
        raise AssertionError("OpenCV was asked")

    monkeypatch.setattr(cv2, "resize", refuse)
    np.testing.assert_array_equal(prepare.resize(image, (33, 70), "bilinear_opencv"), wanted)
    assert [channels for channels in range(1, 6) if bilinear_cv.is_needed(channels)] == [1, 3, 4]
    for own in ("x86_64", "AMD64"):
        monkeypatch.setattr(platform, "machine", lambda own=own: own)
        assert not any(bilinear_cv.is_needed(channels) for channels in range(1, 6))
