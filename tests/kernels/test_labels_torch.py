"""Labels and resize tables against torch: equal in every pixel, and in every bit."""

import numpy as np
import pytest

from densecast.kernels.bilinear import taps
from densecast.kernels.labels import upsample_argmax, upsample_scores

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

# Classes, low resolution, sizes: all on torch's main path, so not three classes, and height + width > 128.
CASES = [
    (19, (32, 64), [(128, 256), (128, 256)]),
    (19, (31, 43), [(200, 271), (97, 131)]),
    (19, (31, 43), [(97, 131), (300, 173)]),
    (19, (120, 150), [(60, 75)]),
    (2, (64, 95), [(128, 191)]),
    (21, (17, 17), [(129, 129)]),
    (21, (17, 17), [(130, 131)]),
    (5, (1, 37), [(1, 211)]),
    (5, (37, 1), [(211, 1), (150, 3)]),
    (4, (40, 700), [(90, 1601)]),
    (7, (150, 200), []),
]


def logits_of(kind, channels, size_hw):
    rng = np.random.default_rng(0)
    if kind == "noise":
        return rng.standard_normal((channels, *size_hw)).astype(np.float32)
    if kind == "ties":
        return (rng.integers(0, 3, (channels, *size_hw)) / 2).astype(np.float32)
    if kind == "near ties":
        steps = rng.integers(0, 3, (channels, *size_hw)).astype(np.float32)
        return (1.3 + 0.1 * rng.standard_normal(size_hw)).astype(np.float32) + steps * np.float32(2.0**-23)
    coarse = torch.from_numpy(rng.standard_normal((1, channels, 5, 5)).astype(np.float32) * 5)
    return torch.nn.functional.interpolate(coarse, size=size_hw, mode="bicubic")[0].numpy()


def resized(logits, sizes_hw, align_corners):
    values = torch.from_numpy(logits)[None]
    for size_hw in sizes_hw:
        values = torch.nn.functional.interpolate(values, size=size_hw, mode="bilinear", align_corners=align_corners)
    return values[0]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("channels", "size_hw", "sizes_hw"), CASES)
@pytest.mark.parametrize("kind", ["scene", "noise", "ties", "near ties"])
def test_labels_equal_torch_in_every_pixel(kind, channels, size_hw, sizes_hw, align_corners):
    logits = logits_of(kind, channels, size_hw)
    expected = resized(logits, sizes_hw, align_corners).argmax(dim=0).numpy()
    labels = upsample_argmax(logits, sizes_hw, align_corners=align_corners)
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("channels", "size_hw"), [(8, (20, 30)), (8, (60, 68)), (8, (3, 90)), (3, (200, 90))])
def test_on_torch_s_other_path_labels_equal_torch_wherever_the_best_two_classes_differ(
    channels, size_hw, align_corners
):
    logits = logits_of("noise", channels, (9, 13))
    values = resized(logits, [size_hw], align_corners)
    best = values.topk(2, dim=0).values
    # Torch's other order of operations moves values below 8 by at most a few units in the last place.
    clear = (best[0] - best[1] > 8 * 4 * 2.0**-23).numpy()
    labels = upsample_argmax(logits, [size_hw], align_corners=align_corners)
    np.testing.assert_array_equal(labels[clear], values.argmax(dim=0).numpy()[clear])


@pytest.mark.parametrize(("channels", "size_hw", "sizes_hw"), CASES)
def test_scores_equal_torch_softmax(channels, size_hw, sizes_hw):
    logits = logits_of("scene", channels, size_hw)
    expected = resized(logits, sizes_hw, False).softmax(dim=0).amax(dim=0).numpy()
    # Two float32 softmaxes of up to 21 terms, each off by a few units in the last place.
    np.testing.assert_allclose(upsample_scores(logits, sizes_hw)[1], expected, rtol=2e-6)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("source", "target"), [(128, 1024), (173, 1383), (1383, 131), (65, 513), (1918, 959), (300, 97), (1, 200)]
)
def test_taps_give_torch_bit_for_bit(source, target, align_corners):
    values = np.random.default_rng(0).standard_normal((1, source)).astype(np.float32)
    first, second, first_weight, second_weight = taps(source, target, align_corners)
    # A float32 product is exact in float64; the sum is rounded once more, which matters once in 2**28.
    second_part = (values[:, second] * second_weight).astype(np.float64)
    ours = (values[:, first].astype(np.float64) * first_weight + second_part).astype(np.float32)
    # 200 equal rows keep the target above torch's limit for its other path.
    rows = np.repeat(values[None], 200, axis=1)
    expected = resized(rows, [(200, target)], align_corners)[0, :1].numpy()
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("crop_hw", [(1, 1), (97, 131), (200, 150), (200, 271)])
@pytest.mark.parametrize("last", [[], [(300, 173)], [(60, 75)]])
def test_a_crop_between_the_resizes_is_torchs_slice(crop_hw, last, align_corners):
    logits = logits_of("scene", 19, (31, 43))
    first = resized(logits, [(200, 271)], align_corners)[:, : crop_hw[0], : crop_hw[1]].contiguous()
    values = resized(first.numpy(), last, align_corners)
    sizes_hw = [(200, 271), *last]
    labels, probability = upsample_scores(logits, sizes_hw, align_corners=align_corners, crop_hw=crop_hw)
    np.testing.assert_array_equal(labels, values.argmax(dim=0).numpy())
    # Sums of exponentials in another order: a few units in the last place.
    np.testing.assert_allclose(probability, values.softmax(dim=0).amax(dim=0).numpy(), atol=1e-6)
    alone = upsample_argmax(logits, sizes_hw, align_corners=align_corners, crop_hw=crop_hw, threads=2)
    np.testing.assert_array_equal(alone, labels)
