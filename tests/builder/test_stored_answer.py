"""The test image and what is kept of an answer to it are a file format: models built long ago are asked by it."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
import tiny_specs

from densecast.artifact import stored_answer
from densecast.spec.preprocess import Native, Preprocess


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(((0, 0, 0), 0), ((0, 0, 18), 8), ((0, 0, 19), 79), ((0, 22, 0), 19), ((0, 23, 0), 91)),
        *(((1, 0, 0), 70), ((2, 0, 0), 140), ((1, 30, 41), 117), ((2, 46, 59), 141)),
    ],
)
def test_the_test_image_has_these_values(place: tuple[int, int, int], value: int) -> None:
    assert stored_answer.pattern_image(3, 47, 60)[place] == value


def test_the_test_image_is_the_one_that_stored_answers_are_answers_to() -> None:
    """Any other image, and every model that was built before is refused as computing something else here."""
    image = stored_answer.pattern_image(3, 47, 60)
    assert image.dtype == np.uint8 and image.shape == (3, 47, 60)
    assert (
        hashlib.sha256(image.tobytes()).hexdigest()
        == "96d893d021bbdd4c867fcb7f80aa8545ba11ca86058afdd5ebd916ee62f6eb96"
    )


def test_the_network_sees_it_normalised_by_its_own_rule() -> None:
    spec = replace(
        tiny_specs.segmentation(), preprocess=Preprocess(Native(), mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0))
    )
    (feed,) = stored_answer.golden_feeds(spec).values()
    _, channels, height, width = feed.shape
    image = stored_answer.pattern_image(channels, height, width).astype(np.float64)
    wanted = (image - np.array([10.0, 20.0, 30.0])[:, None, None]) / np.array([2.0, 4.0, 5.0])[:, None, None]
    assert feed.dtype == np.float32
    np.testing.assert_allclose(feed, np.broadcast_to(wanted, feed.shape), rtol=1e-6)


@pytest.mark.parametrize(("size", "kept", "step"), [(5, 5, 1), (4096, 4096, 1), (4095 * 3 + 1, 4096, 3)])
def test_of_an_answer_evenly_spaced_values_from_first_to_last_are_kept(size: int, kept: int, step: int) -> None:
    values = np.arange(size, dtype=np.float32).reshape(1, -1)
    found = stored_answer.sampled(values)
    assert found.shape == (kept,) and found[0] == 0 and found[-1] == size - 1
    np.testing.assert_array_equal(found, values[0, ::step])


def test_the_difference_is_relative_to_what_is_expected() -> None:
    expected = np.array([3.0, 4.0], np.float32)
    assert stored_answer.relative_l2(expected, np.array([3.0, 4.5], np.float32)) == pytest.approx(0.1)
    assert stored_answer.relative_l2(np.zeros(2), np.zeros(2)) == 0
    assert stored_answer.relative_l2(np.zeros(2), expected) == 1, "nothing was expected, and something came"
    assert stored_answer.relative_l2(expected, expected[:1]) == float("inf")


def test_of_nothing_and_of_zeros_a_difference_is_there_or_not() -> None:
    assert stored_answer.relative_l2(np.zeros((0, 3)), np.zeros((0, 3))) == 0
    assert stored_answer.relative_l2(np.zeros(2), np.array([0, -1.0])) == 1
    assert stored_answer.relative_l2(np.zeros((1, 2)), np.zeros(2)) == np.inf
    # Of what may be probabilities it is a share of a hundredth at least; a value beyond them is no probability.
    small = np.full(4, 1e-4)
    assert stored_answer.relative_l2(small, 2 * small) == pytest.approx(1e-2)
    assert stored_answer.relative_l2(np.array([1e-4, -1e-9]), np.array([2e-4, 0])) == pytest.approx(1, rel=1e-4)
    for one, other, least in (
        ([0.0, 1.0], [1.0, 0.0], 1e-2), ([0.0, 1.001], [0.0, 1.0], 0), ([0.0, 1.0], [0.0, 1.001], 0),
        ([-0.001, 1.0], [0.0, 1.0], 0), ([0.0, 1.0], [-0.001, 1.0], 0), ([], [], 0),
    ):  # fmt: skip
        assert stored_answer.least_scale(np.array(one), np.array(other)) == least


def test_small_answers_are_kept_whole_and_in_order() -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    np.testing.assert_array_equal(stored_answer.sampled(values), values.reshape(-1))
    packed = np.load(io.BytesIO(stored_answer.packed([values, values[:1]])))
    assert sorted(packed.files) == ["output", "output_1", "shape", "shape_1"]
    assert packed["shape"].tolist() == [2, 3, 5] and packed["shape_1"].tolist() == [1, 3, 5]


def test_noise_is_the_same_on_every_machine() -> None:
    noise = stored_answer.noise_image(3, 97, 139)
    assert noise.shape == (3, 97, 139) and noise.dtype == np.uint8
    for c, y, x in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 2, 3), (2, 96, 138)):
        mixed = (x * 7919 + y * 104729 + c * 1299709) % 65521
        assert noise[c, y, x] == (mixed * mixed // 257 + mixed) % 256
    assert noise.mean() == pytest.approx(127.5, abs=2)
