"""Whatever array is given to a function that runs compiled code, it answers for it or refuses it: it never reads or
writes beyond the arrays, which compiled code does not check."""

from __future__ import annotations

import contextlib

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from densecast.errors import DensecastError
from densecast.imaging.prepare import prepare
from densecast.kernels import affine_cv4, assignment, normalise
from densecast.kernels.labels import upsample_argmax, upsample_scores
from densecast.kernels.probabilities import mean_argmax
from densecast.spec.preprocess import FitInto, Letterbox, Native, PoseAffine, Preprocess, ScaleBy, Stretch
from densecast.tasks.pose.postprocess import decode

FEW = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)
TYPES = ("uint8", "float32", "uint16", "float64", "bool", "int64", "int8", "float16")
sides = some.integers(0, 9)
CANARY = 77


@some.composite
def arrays(draw: some.DrawFn, least: int = 1, most: int = 4) -> np.ndarray:
    """Any shape, type and memory layout; mostly such as are nearly right."""
    shape = draw(some.lists(sides, min_size=least, max_size=most))
    if len(shape) == 3 and draw(some.booleans()):
        shape[2] = draw(some.sampled_from([1, 3, 3, 4]))
    rng = np.random.default_rng(draw(some.integers(0, 9)))
    dtype = draw(some.sampled_from(TYPES[:1] * 4 + TYPES[1:2] * 4 + TYPES))
    array = (rng.random([2 * side for side in shape]) * 250).astype(dtype)
    layout = draw(some.sampled_from(["contiguous", "strided", "fortran", "reversed", "swapped"]))
    array = array[tuple(slice(0, 2 * side, 2) for side in shape)]
    if layout == "contiguous":
        return np.ascontiguousarray(array)
    if layout == "reversed":
        return array[::-1]
    if layout == "swapped":
        return array.astype(array.dtype.newbyteorder())
    return np.asfortranarray(array) if layout == "fortran" else array


def fenced(shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """An array in the middle of a larger one, all of whose other values have to stay."""
    size = int(np.prod(shape))
    whole = np.full(size + 2048, CANARY, dtype)
    return whole, whole[1024 : 1024 + size].reshape(shape)


def assert_fence(whole: np.ndarray) -> None:
    assert (whole[:1024] == CANARY).all() and (whole[-1024:] == CANARY).all()


rules = some.builds(
    Preprocess,
    some.sampled_from([Native(), ScaleBy(0.5), Stretch((4, 5)), FitInto((6, 6)), Letterbox((6, 7)), PoseAffine(8, 4)]),
    some.sampled_from(["bilinear_opencv", "bicubic_pillow", "nearest"]),
    some.sampled_from(["RGB", "BGR", "GRAY"]),
    value_range=some.sampled_from([None, None, (0.0, 100.0)]),
)


@FEW
@given(arrays(), some.data(), some.sampled_from([1, 3, 4]), some.sampled_from(["float32", "uint8"]))
def test_prepare(image: np.ndarray, data: some.DataObject, channels: int, dtype: str) -> None:
    try:
        rule = data.draw(rules)
        placed = rule.place((image.shape[0], image.shape[1])).model_hw if image.ndim > 1 and image.size else (4, 5)
        whole, out = fenced((channels, *placed), dtype)
        array, placement = prepare(image, rule, out=out)
        assert array.shape == (channels, *placement.model_hw)
        assert_fence(whole)
    except DensecastError:
        pass


@FEW
@given(arrays(), sides, sides, some.integers(1, 4), some.booleans())
def test_planes(image: np.ndarray, height: int, width: int, channels: int, reverse: bool) -> None:
    for out_of in ((channels, height, width), (image.shape[2], *image.shape[:2]) if image.ndim == 3 else (3, 1, 1)):
        numbers = np.ones(channels, np.float32)
        for call in (
            lambda out: normalise.to_planes(image, reverse, out),
            lambda out, numbers=numbers: normalise.to_normalised_planes(image, numbers, numbers, reverse, out),
        ):
            whole, out = fenced(out_of, "float32")
            try:
                call(out)
            except DensecastError:
                assert (out == CANARY).all()
            assert_fence(whole)


@FEW
@given(arrays(), some.lists(some.tuples(some.integers(-1, 9), some.integers(-1, 9)), max_size=3), some.booleans())
def test_labels_and_scores(logits: np.ndarray, sizes: list[tuple[int, int]], align_corners: bool) -> None:
    for crop in (None, (2, 3), (0, 1), (99, 99)):
        try:
            labels = upsample_argmax(logits, sizes, align_corners=align_corners, crop_hw=crop)
            both, probability = upsample_scores(logits, sizes, align_corners=align_corners, crop_hw=crop)
            assert labels.shape == both.shape == probability.shape
            assert int(labels.max(initial=0)) < logits.shape[-3]
        except DensecastError:
            pass


@FEW
@given(some.lists(arrays(3, 3), min_size=1, max_size=2), some.tuples(sides, sides), some.booleans())
def test_mean_of_views(logits: list[np.ndarray], size: tuple[int, int], mirrored: bool) -> None:
    try:
        labels, probability = mean_argmax(logits, [[size]] * len(logits), [mirrored] * len(logits))
        assert labels.shape == probability.shape == size
    except DensecastError:
        pass


@FEW
@given(arrays(), arrays(1, 2), some.tuples(some.integers(-1, 9), some.integers(-1, 9)))
def test_warps(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> None:
    for each in (matrix, np.eye(2, 3) * 1e300, np.full((2, 3), np.nan), np.eye(2, 3)):
        with contextlib.suppress(DensecastError):
            assert affine_cv4.warp_affine(image, each, size).shape[:2] == size


@FEW
@given(arrays())
def test_assignment(cost: np.ndarray) -> None:
    with contextlib.suppress(DensecastError):
        assert assignment.solve(cost).shape == (min(cost.shape), 2)


@FEW
@given(some.integers(1, 2), some.sampled_from([34, 18, 17, 35]), sides, sides, some.sampled_from(TYPES))
def test_people(images: int, channels: int, height: int, width: int, dtype: str) -> None:
    maps = np.random.default_rng(0).random((images, channels, height, width)).astype(dtype)
    placement = PoseAffine(16, 8).geometry((20, 24))
    for given_maps in ([maps], [maps[:, :, ::-1]], [maps[0]], [maps, maps]):
        with contextlib.suppress(DensecastError):
            assert decode(given_maps, placement).xy_px.shape[1:] == (17, 2)
