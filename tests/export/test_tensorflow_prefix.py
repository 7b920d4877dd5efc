"""What a graph does to images is read off its answers, and nothing else than normalisation and padding passes."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.errors import BadGraphError
from densecast.spec.preprocess import FitInto, Native, Preprocess
from densecast.verbs.export import tensorflow_prefix

MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)


def prefix(mean=(127.5,) * 3, std=(127.5,) * 3, *, reversed_order=False, size_hw=None, fill=(127.5,) * 3):  # type: ignore[no-untyped-def]
    def run(images: np.ndarray) -> np.ndarray:
        _, height, width, _ = images.shape
        whole = np.zeros((1, *(size_hw or (height, width)), 3), np.float32)
        whole[:] = fill
        whole[:, :height, :width] = images
        if reversed_order:
            whole = whole[..., ::-1]
        return ((whole - np.float32(mean)) / np.float32(std)).transpose(0, 3, 1, 2)  # type: ignore[arg-type]

    return run


def test_mean_deviation_padding_and_order_are_found() -> None:
    measured = tensorflow_prefix.measure(prefix(), "uint8", None)
    assert (measured.mean, measured.std, measured.colour, measured.size_hw) == ((127.5,) * 3, (127.5,) * 3, "RGB", None)
    measured = tensorflow_prefix.measure(prefix(MEAN, STD, reversed_order=True), "float32", (48, 64))
    # float32 answers leave six digits certain.
    np.testing.assert_allclose(measured.mean, MEAN, rtol=1e-5)
    np.testing.assert_allclose(measured.std, STD, rtol=1e-5)
    assert measured.colour == "BGR" and measured.preprocess.resize == Native()
    measured = tensorflow_prefix.measure(
        prefix(size_hw=(100, 120), fill=(10, 20, 30), reversed_order=True), "uint8", None
    )
    assert isinstance(measured.preprocess.resize, FitInto)
    assert measured.preprocess.resize.size_hw == (100, 120)
    np.testing.assert_allclose(measured.preprocess.resize.fill, (10, 20, 30), atol=1e-4)


def test_a_declaration_that_differs_is_told_by_what() -> None:
    measured = tensorflow_prefix.measure(prefix(size_hw=(100, 120)), "uint8", None)
    good = Preprocess(FitInto((100, 120), (127.5,) * 3), mean=(127.5,) * 3, std=(127.5,) * 3)
    assert tensorflow_prefix.agrees(measured, good) is None
    assert (
        tensorflow_prefix.agrees(measured, Preprocess(Native(), mean=(0.5,) * 3, std=(0.5,) * 3, divisor=255.0)) is None
    )
    for resize, mean, colour, said in (
        (FitInto((100, 121), (127.5,) * 3), 127.5, "RGB", "size"),
        (FitInto((100, 120), (0.0,) * 3), 127.5, "RGB", "fill"),
        (good.resize, 120.0, "RGB", "mean"),
        (good.resize, 127.5, "BGR", "BGR"),
    ):
        wrong = Preprocess(resize, mean=(mean,) * 3, std=(127.5,) * 3, colour=colour)  # type: ignore[arg-type]
        assert said in (tensorflow_prefix.agrees(measured, wrong) or "")


def clipped(images: np.ndarray) -> np.ndarray:
    return np.minimum(prefix()(images), 0.9)


def mixed(images: np.ndarray) -> np.ndarray:
    planes = prefix()(images)
    return planes + 0.1 * planes[:, ::-1]


def centred(images: np.ndarray) -> np.ndarray:
    return np.pad(prefix()(images), ((0, 0), (0, 0), (3, 3), (3, 3)))


def grey(images: np.ndarray) -> np.ndarray:
    return prefix()(images) * 0


def raising(images: np.ndarray) -> np.ndarray:
    raise RuntimeError("it is no image\nat all")


@pytest.mark.parametrize("strange", [clipped, mixed, centred, grey, raising])
def test_anything_else_is_refused(strange) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadGraphError):
        tensorflow_prefix.measure(strange, "uint8", None)
