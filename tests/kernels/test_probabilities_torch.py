"""Mean probabilities over views are those of torch's interpolate, softmax, flip and mean."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.kernels.probabilities import mean_argmax

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

CASES = {
    "one view, twice resized": ([(9, 14)], [[(70, 111), (97, 131)]], [False]),
    "one view as it is": ([(80, 90)], [[(80, 90)]], [False]),
    "mirrored": ([(12, 17), (12, 17)], [[(96, 130), (97, 131)]] * 2, [False, True]),
    "several sizes": (
        [(6, 8), (24, 31), (40, 60)],
        [[(90, 121)], [(180, 240), (90, 121)], [(30, 41), (90, 121)]],
        [True] * 3,
    ),
}


def by_torch(logits, sizes_hw, mirrored, align_corners):
    total = None
    for array, sizes, turned in zip(logits, sizes_hw, mirrored, strict=True):
        values = torch.from_numpy(array)[None]
        for size_hw in sizes:
            values = torch.nn.functional.interpolate(values, size_hw, mode="bilinear", align_corners=align_corners)
        probabilities = values.softmax(dim=1)
        probabilities = probabilities.flip(3) if turned else probabilities
        total = probabilities if total is None else total + probabilities
    return (total / len(logits))[0].numpy()


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("channels", [2, 19, 150])
@pytest.mark.parametrize("case", CASES)
def test_labels_and_probabilities_equal_torch(case, channels, align_corners):
    sources, sizes, mirrored = CASES[case]
    rng = np.random.default_rng(channels)
    logits = [(rng.normal(size=(channels, *size_hw)) * 5).astype(np.float32) for size_hw in sources]
    labels, probability = mean_argmax(logits, sizes, mirrored, align_corners=align_corners)
    wanted = by_torch(logits, sizes, mirrored, align_corners)
    # Exponentials and sums differ in the last bits of float32.
    np.testing.assert_allclose(probability, wanted.max(axis=0), rtol=0, atol=1e-6)
    best = np.sort(wanted, axis=0)
    clear = best[-1] - best[-2] > 2e-6
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(labels[clear], wanted.argmax(axis=0)[clear])


def test_the_first_of_equal_classes_wins():
    logits = np.zeros((4, 5, 6), np.float32)
    logits[1:3] = 3
    labels, probability = mean_argmax([logits, logits], [[(9, 11)]] * 2, [False, True])
    assert (labels == 1).all()
    np.testing.assert_allclose(probability, np.exp(3) / (2 * np.exp(3) + 2), rtol=1e-6)
