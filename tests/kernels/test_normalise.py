"""Planes of bytes against numpy: any number of channels, both orders, and shapes that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.errors import BadShapeError
from densecast.kernels import normalise


def picture(channels: int) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (5, 9, channels), dtype=np.uint8)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_every_channel_has_its_plane_its_mean_and_its_deviation(channels: int, reverse: bool) -> None:
    image = picture(channels)
    ordered = image[:, :, ::-1] if reverse else image
    planes = np.empty((channels, 5, 9), np.uint8)
    normalise.to_planes(image, reverse, planes)
    np.testing.assert_array_equal(planes, ordered.transpose(2, 0, 1))
    mean = np.arange(channels, dtype=np.float32) / 7
    std = np.arange(1, channels + 1, dtype=np.float32) / 3
    out = np.empty((channels, 5, 9), np.float32)
    for divisor in (1.0, 255.0):
        wanted = (ordered / np.float32(divisor) - mean) / std
        normalise.to_normalised_planes(image, mean, std, reverse, out, divisor)
        np.testing.assert_array_equal(out, wanted.transpose(2, 0, 1))
    normalise.to_normalised_planes(image, mean, std, reverse, out)
    np.testing.assert_array_equal(out, ((ordered.astype(np.float32) - mean) / std).transpose(2, 0, 1))


def test_what_does_not_fit_is_refused() -> None:
    image, numbers = picture(3), np.ones(3, np.float32)
    whole = np.empty((3, 5, 9), np.float32)
    for given, out in (
        (image.astype(np.uint16), whole),
        (image[:, :, 0], whole),
        (image, whole[:2]),
        (image, whole[:, :4]),
        (image, whole[:, :, :8]),
        (image, whole.transpose(0, 2, 1)),
    ):
        with pytest.raises(BadShapeError):
            normalise.to_planes(given, False, out)
        with pytest.raises(BadShapeError):
            normalise.to_normalised_planes(given, numbers, numbers, False, out)
    for mean, std in ((numbers[:2], numbers), (numbers, numbers[:2]), (numbers[:1], numbers[:1])):
        with pytest.raises(BadShapeError, match="mean and std"):
            normalise.to_normalised_planes(image, mean, std, False, whole)
