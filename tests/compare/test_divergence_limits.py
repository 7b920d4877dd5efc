"""Where a divergence begins to count: so many times what rounding explains, by the candidate's type of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from densecast.backends._inspection import Inspector, TensorPoint, Tensors, WeightType
from densecast.spec.tensor import Array
from densecast.verbs.compare import divergence_search
from densecast.verbs.compare.divergence_search import relative_l2, search

FEED = np.zeros((1, 3, 2, 2), np.float32)
VALUES = np.random.default_rng(0).uniform(1, 2, (1, 4, 8, 8)).astype(np.float32)
ROUNDING = 1e-3


@dataclass
class Made:
    """A network whose tensors are what they are, and with rounded weights a thousandth more."""

    points: tuple[TensorPoint, ...]
    values: Mapping[str, np.ndarray]
    moved: float = 0.0
    runs: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, feed: Array, names: Sequence[str]) -> Tensors:
        self.runs.append(tuple(names))
        return {name: np.asarray(self.values[name] * np.float64(1 + self.moved), np.float32) for name in names}

    def rounded(self, kind: WeightType) -> Inspector:
        return Made(self.points, self.values, ROUNDING)

    def weights(self) -> Tensors:
        return {}


def point(name: str, kind: str, *sources: str) -> TensorPoint:
    return TensorPoint(name, f"node of {name}", kind, f"layer of {name}", sources, (), VALUES.size)


@pytest.mark.parametrize(
    ("stored", "times", "differs"),
    [
        ("int8", 3.9, False),
        ("int8", 4.1, True),
        ("float16", 5.9, False),
        ("float16", 6.1, True),
        ("bfloat16", 5.9, False),
        ("bfloat16", 6.1, True),
        ("float32", 9.9, False),
        ("float32", 10.1, True),
    ],
)
def test_a_tensor_may_be_off_by_so_many_times_what_rounding_explains(
    stored: WeightType, times: float, differs: bool
) -> None:
    points = (point("a", "Conv"), point("out", "Conv", "a"))
    off = {name: np.asarray(VALUES * (1 + times * ROUNDING), np.float32) for name in ("a", "out")}
    found = search(Made(points, dict.fromkeys(("a", "out"), VALUES)), Made(points, off), stored, FEED, FEED)
    assert (found.location is not None) == differs
    if found.location is not None:
        # The output differs as much as what it is computed from: the fault is in the first.
        assert found.location.node == "node of a"
    assert [each.times_expected for each in found.curve] == pytest.approx([times, times], rel=1e-2)
    assert found.curve[1].entered == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("stored", "node"), [("int8", "node of out"), ("float16", "node of b")])
def test_only_in_int8_may_a_rectifier_be_in_the_quantiser_after_it(stored: WeightType, node: str) -> None:
    signed = VALUES * np.where(np.arange(8) % 2, 1, -1).astype(np.float32)
    reference = (point("a", "Conv"), point("b", "Relu", "a"), point("out", "Conv", "b"))
    candidate = (point("a", "Conv"), point("b", "FakeQuantize", "a"), point("out", "Conv", "b"))
    right = {"a": signed, "b": np.maximum(signed, 0), "out": VALUES}
    wrong = {"a": signed, "b": signed, "out": VALUES * np.float32(1.5)}
    found = search(Made(reference, right), Made(candidate, wrong), stored, FEED, FEED)
    assert found.location is not None and found.location.node == node


def test_of_all_that_differ_the_largest_jump_is_the_fault() -> None:
    points = (point("a", "Conv"), point("b", "Conv", "a"), point("out", "Conv", "b"))
    right = dict.fromkeys(("a", "b", "out"), VALUES)
    wrong = {"a": VALUES * np.float32(1.02), "b": VALUES * np.float32(1.5), "out": VALUES * np.float32(1.6)}
    found = search(Made(points, right), Made(points, wrong), "float16", FEED, FEED)
    assert found.location is not None and found.location.node == "node of b"
    assert [each.entered for each in found.curve] == pytest.approx([0.02, 0.48, 0.1], rel=1e-2)


def test_the_relative_error_is_the_norm_of_the_difference_over_that_of_the_reference() -> None:
    left, right = np.array([3.0, 4.0], np.float32), np.array([3.0, 1.0], np.float32)
    assert relative_l2(left, right) == pytest.approx(3 / 5)
    assert relative_l2(right, left) == pytest.approx(3 / np.sqrt(10))
    assert relative_l2(left * 0, left * 0) == 0 and relative_l2(left * 0, left) == 1
    assert relative_l2(left, right * np.float32("nan")) == np.inf and relative_l2(left, left[:1]) == np.inf


def test_each_run_asks_for_tensors_evenly_spaced_among_those_that_may_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty layers in a row, each the last of 97 tensors; eight tensors a run. The fourteenth is wrong."""
    monkeypatch.setattr(divergence_search, "BUDGET", 8 * VALUES.size)
    chain = {97 * number: number for number in range(41)}
    points = tuple(
        point(f"t{place}", "Conv", *([f"t{place - 97}"] if chain.get(place) else [])) for place in range(97 * 40 + 1)
    )
    right = {each.name: VALUES for each in points}
    wrong = {**right, **{f"t{place}": VALUES * np.float32(2) for place, number in chain.items() if number >= 13}}
    candidate = Made(points, wrong)
    found = search(Made(points, right), candidate, "float16", FEED, FEED)
    assert found.location is not None and found.location.node == f"node of t{97 * 13}"
    # What the output is made of are forty: every eighth. Then all between the last that is right and the first wrong.
    assert candidate.runs[1] == tuple(f"t{97 * number}" for number in (4, 12, 20, 28, 36))
    assert candidate.runs[2] == tuple(f"t{97 * number}" for number in range(13, 20))
    assert len(candidate.runs[0]) <= 9
