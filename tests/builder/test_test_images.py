"""The images whose answers are stored in a package are the same in every version: other ones would void all answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tiny_artifacts
import tiny_specs

from densecast.artifact import stored_answer
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.tensor import Dim, Feeds, TensorSpec

Pixel = Callable[[int, int, int], int]


def pattern(c: int, y: int, x: int) -> int:
    ramp, blocks = (3 * x + 5 * y) // (7 + c), 70 * ((x // 19 + y // 23 + c) % 3)
    return (ramp + blocks + (x * x + 2 * y * y) // (211 + 40 * c)) % 256


def noise(c: int, y: int, x: int) -> int:
    mixed = (x * 7919 + y * 104729 + c * 1299709) % 65521
    return (mixed * mixed // 257 + mixed) % 256


@pytest.mark.parametrize("made", [(stored_answer.pattern_image, pattern), (stored_answer.noise_image, noise)])
def test_each_pixel_is_by_its_formula(made: tuple[Callable[..., np.ndarray], Pixel]) -> None:
    image, pixel = made
    found = image(4, 33, 47)
    assert (found.shape, found.dtype) == ((4, 33, 47), np.uint8)
    assert found.tolist() == [[[pixel(c, y, x) for x in range(47)] for y in range(33)] for c in range(4)]


def test_open_sizes_are_128_and_of_noise_97_by_139() -> None:
    spec = tiny_artifacts.spec(Preprocess(Native()))
    sizes = [{name: feed.shape for name, feed in made(spec).items()} for made in FEEDS]
    assert sizes == [{spec.input.name: (1, 3, 128, 128)}, {spec.input.name: (1, 3, 97, 139)}]


FEEDS = (stored_answer.golden_feeds, stored_answer.noisy_feeds)


@pytest.mark.parametrize(("feeds", "pixel"), list(zip(FEEDS, (pattern, noise), strict=True)))
@pytest.mark.parametrize("batch", [1, 2, Dim("n", 1, 4), Dim("n", 3, 4)])
def test_pixels_are_normalised_in_float32_and_repeated_for_a_batch(
    feeds: Callable[[ModelSpec], Feeds], pixel: Pixel, batch: int | Dim
) -> None:
    count = batch.min if isinstance(batch, Dim) else batch
    rule = Preprocess(Native(), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 3.0), divisor=255.0)
    spec = replace(tiny_specs.segmentation(), preprocess=rule)
    fixed = replace(spec, inputs=(TensorSpec(spec.input.name, "float32", (batch, 3, 5, 6)),))
    (found,) = feeds(fixed).values()
    assert (found.shape, found.dtype) == ((count, 3, 5, 6), np.float32)
    for c in range(3):
        for y, x in ((0, 0), (1, 5), (4, 2)):
            value = np.float32(pixel(c, y, x)) / np.float32(255) - np.float32(rule.mean[c])
            assert set(found[:, c, y, x].tolist()) == {float(np.float32(value / np.float32(rule.std[c])))}
    plain = replace(spec, inputs=(TensorSpec(spec.input.name, "uint8", (batch, 3, 5, 6)),))
    (raw,) = feeds(plain).values()
    assert raw.dtype == np.uint8 and raw[-1, 2, 4, 5] == pixel(2, 4, 5)


@pytest.mark.parametrize("count", [1, 2, 4095, 4096, 4097, 10000])
def test_at_most_4096_values_are_stored_from_the_first_to_the_last(count: int) -> None:
    values = np.arange(count, dtype=np.float32)
    found = stored_answer.sampled(values.reshape(1, -1, 1))
    assert len(found) == min(count, 4096) and (found[0], found[-1]) == (0, count - 1)
    assert np.array_equal(found, np.array([k * (count - 1) // max(1, len(found) - 1) for k in range(len(found))]))
