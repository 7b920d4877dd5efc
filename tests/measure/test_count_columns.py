"""Counts of every metric become columns and come back as they were, to the last bit."""

from __future__ import annotations

import math
import pickle
import struct
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest

from densecast.errors import BadStoreError, UsageError
from densecast.measure.store.count_columns import CountColumns
from densecast.measure.store.parts import plain, portable
from densecast.metrics._base import METRICS
from densecast.metrics.coco_keypoints import PeopleCount
from densecast.metrics.dice import ForegroundCount
from densecast.metrics.iou import PixelCount
from densecast.metrics.monocular_depth import DepthErrors
from densecast.metrics.multilabel_iou import BitCount

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store

RNG = np.random.default_rng(0)
PEOPLE = {"image_id": 7, "keypoints": [0.1 + 0.2, 1e-300, float("nan")], "score": 1 / 3, "iscrowd": 0}
COUNTS: dict[str, list[Any]] = {
    "iou": [
        PixelCount("a", RNG.integers(0, 2**62, (3, 19)), 5, ((7, 2**40), (200, 1))),
        PixelCount("b", RNG.integers(0, 9, (3, 19))),
    ],
    "dice": [ForegroundCount("a", 1, 2**53 + 1, 3, 4, 5, 6), ForegroundCount("b", 0, 0, 0)],
    "multilabel_iou": [BitCount("a", RNG.integers(0, 9, (3, 4)))],
    "monocular_depth": [
        DepthErrors("a", 9, 0.1 + 0.2, (1 / 3, 1e-320, math.pi)),
        DepthErrors("b", 0, math.nan, (math.nan,) * 3),
    ],
    "coco_keypoints": [PeopleCount("a", 7, (PEOPLE, PEOPLE), ()), PeopleCount("b", 2**40, (), (PEOPLE,))],
}


def bits(value: Any) -> Any:
    """A value by its bits, so that NaN equals NaN and 0 is not -0."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, dict):
        return {key: bits(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return (type(value).__name__, [bits(each) for each in value])
    return (type(value).__name__, value)


@pytest.mark.parametrize("name", METRICS.names())
def test_counts_come_back_as_they_were(name: str) -> None:
    if name not in COUNTS:
        pytest.fail(f"the metric {name} has no case here: give one")
    counts = COUNTS[name]
    columns = CountColumns.of(METRICS.load(name))
    found = list(columns.decode([count.sample_id for count in counts], columns.encode(counts)))
    for expected, count in zip(counts, found, strict=True):
        assert type(count) is type(expected)
        for field in fields(expected):
            assert bits(getattr(count, field.name)) == bits(getattr(expected, field.name)), field.name
    assert pickle.loads(pickle.dumps(found[0])).sample_id == "a"


def test_arrays_of_several_shapes_come_back_each_in_its_own() -> None:
    @dataclass(frozen=True)
    class Histogram:
        sample_id: str
        bins: np.ndarray[Any, Any]

    columns = CountColumns(Histogram, {"bins": np.ndarray})
    counts = [Histogram(str(size), RNG.random(size)) for size in (3, 1, 4)]
    found = list(columns.decode([each.sample_id for each in counts], columns.encode(counts)))
    assert [bits(each.bins) for each in found] == [bits(each.bins) for each in counts]


def test_a_metric_whose_counts_nobody_can_tell_is_refused() -> None:
    class Untold:
        name = "untold"

        def count(self, sample_id, prediction, target, spec):  # type: ignore[no-untyped-def]
            return None

    with pytest.raises(UsageError, match="has to return a dataclass"):
        CountColumns.of(Untold())  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["a.jpg", "caf\udce9", "back\\slash", "\\xe9", "\\\\", "ä 日本 \udcff\\", "tab\t", ""])
def test_ids_that_are_no_utf8_come_back(text: str) -> None:
    portable(text).encode("utf-8")
    assert plain(portable(text)) == text


@pytest.mark.parametrize(
    "values",
    [
        [np.zeros(2, np.int64), np.zeros(2, np.float64)],
        [np.zeros(2), np.zeros((2, 1))],
        [np.zeros((), np.int64)],
        [np.array(["a"])],
        [np.zeros(2, np.complex64)],
        [np.zeros(2), "text", object()],
    ],
)
def test_arrays_that_a_table_does_not_hold_are_refused_by_the_name_of_their_field(values: list[Any]) -> None:
    @dataclass(frozen=True)
    class Histogram:
        sample_id: str
        bins: Any

    columns = CountColumns(Histogram, {"bins": np.ndarray})
    with pytest.raises(UsageError, match=r"Histogram\.bins cannot be kept in a store") as error:
        columns.encode([Histogram(str(place), value) for place, value in enumerate(values)])
    assert error.value.field == "store"
    kept = columns.encode([Histogram("a", np.zeros((2, 3), np.uint8))])
    (found,) = columns.decode(["a"], kept)
    assert found.bins.shape == (2, 3) and found.bins.dtype == np.uint8
    with pytest.raises(BadStoreError, match="the records lack the column count_bins"):
        list(columns.decode(["a"], {}))
