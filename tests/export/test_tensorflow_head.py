"""What a graph does to images is read off its answers, and nothing else than normalisation and padding passes."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.errors import BadGraphError
from densecast.spec.preprocess import FitInto, Native, Preprocess
from densecast.verbs.export import tensorflow_head

MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)


def head(mean=(127.5,) * 3, std=(127.5,) * 3, *, turned=False, size_hw=None, fill=(127.5,) * 3):  # type: ignore[no-untyped-def]
    def run(pictures: np.ndarray) -> np.ndarray:
        _, height, width, _ = pictures.shape
        whole = np.zeros((1, *(size_hw or (height, width)), 3), np.float32)
        whole[:] = fill
        whole[:, :height, :width] = pictures
        if turned:
            whole = whole[..., ::-1]
        return ((whole - np.float32(mean)) / np.float32(std)).transpose(0, 3, 1, 2)  # type: ignore[arg-type]

    return run


def test_mean_deviation_padding_and_order_are_found() -> None:
    found = tensorflow_head.measure(head(), "uint8", None)
    assert (found.mean, found.std, found.colour, found.size_hw) == ((127.5,) * 3, (127.5,) * 3, "RGB", None)
    found = tensorflow_head.measure(head(MEAN, STD, turned=True), "float32", (48, 64))
    # float32 answers leave six digits certain.
    np.testing.assert_allclose(found.mean, MEAN, rtol=1e-5)
    np.testing.assert_allclose(found.std, STD, rtol=1e-5)
    assert found.colour == "BGR" and found.preprocess.resize == Native()
    found = tensorflow_head.measure(head(size_hw=(100, 120), fill=(10, 20, 30), turned=True), "uint8", None)
    assert isinstance(found.preprocess.resize, FitInto)
    assert found.preprocess.resize.size_hw == (100, 120)
    np.testing.assert_allclose(found.preprocess.resize.fill, (10, 20, 30), atol=1e-4)


def test_a_declaration_that_differs_is_told_by_what() -> None:
    found = tensorflow_head.measure(head(size_hw=(100, 120)), "uint8", None)
    good = Preprocess(FitInto((100, 120), (127.5,) * 3), mean=(127.5,) * 3, std=(127.5,) * 3)
    assert tensorflow_head.agrees(found, good) is None
    assert tensorflow_head.agrees(found, Preprocess(Native(), mean=(0.5,) * 3, std=(0.5,) * 3, divisor=255.0)) is None
    for resize, mean, colour, said in (
        (FitInto((100, 121), (127.5,) * 3), 127.5, "RGB", "size"),
        (FitInto((100, 120), (0.0,) * 3), 127.5, "RGB", "fill"),
        (good.resize, 120.0, "RGB", "mean"),
        (good.resize, 127.5, "BGR", "BGR"),
    ):
        wrong = Preprocess(resize, mean=(mean,) * 3, std=(127.5,) * 3, colour=colour)  # type: ignore[arg-type]
        assert said in (tensorflow_head.agrees(found, wrong) or "")


def clipped(pictures: np.ndarray) -> np.ndarray:
    return np.minimum(head()(pictures), 0.9)


def mixed(pictures: np.ndarray) -> np.ndarray:
    planes = head()(pictures)
    return planes + 0.1 * planes[:, ::-1]


def centred(pictures: np.ndarray) -> np.ndarray:
    return np.pad(head()(pictures), ((0, 0), (0, 0), (3, 3), (3, 3)))


def grey(pictures: np.ndarray) -> np.ndarray:
    return head()(pictures) * 0


def raising(pictures: np.ndarray) -> np.ndarray:
    raise RuntimeError("it is no picture\nat all")


@pytest.mark.parametrize("strange", [clipped, mixed, centred, grey, raising])
def test_anything_else_is_refused(strange) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadGraphError):
        tensorflow_head.measure(strange, "uint8", None)
