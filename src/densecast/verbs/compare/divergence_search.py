"""Finds the first tensor that differs by more than rounding explains, in a handful of runs.

Rounding is not guessed: the reference is run a second time with every weight moved by as much as the candidate's number
format may move it. What that does to a tensor is what an honest candidate may show there; beyond a few times it,
something is wrong. Runs fetch as many tensors as memory allows, spread over what is still suspected, so that a small
network is seen whole in one run and a large one by bisection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from densecast.backends._inspection import Inspector, TensorPoint, Tensors, WeightType
from densecast.results.compare import ROUNDING_FLOOR, CurvePoint, Findings, Location
from densecast.spec.tensor import Array
from densecast.verbs.compare import divergence
from densecast.verbs.compare.matching import Match, match

# How many times what rounding explains a tensor may be off. In sound builds of the shipped networks inner tensors reach
# 6 in float32 (each engine sums in its own order) and 3 in 16 bits, outputs 2 in int8; what is broken is off by 7 times
# and more in int8, in float32 by thousands.
TOLERATED: dict[WeightType, float] = {"float32": 10.0, "float16": 6.0, "bfloat16": 6.0, "int8": 4.0}
_RECTIFIER = "Relu"
# Floats of all tensors fetched from one network in one run.
BUDGET = 96 << 20


class _Search:
    """Errors of tensors by their index in the list of matches, measured on demand."""

    def __init__(self, reference: Inspector, candidate: Inspector, stored: WeightType, feeds: tuple[Array, Array]):
        """Prepare to compare the networks; `feeds` are what each is fed for one image."""
        self._networks = reference, candidate, reference.rounded(stored)
        self._feeds = feeds
        self._stored, self.tolerated = stored, TOLERATED[stored]
        self.matches = match(reference.points, candidate.points)
        self.errors: dict[int, CurvePoint] = {}
        self.runs = 0

    def measure(self, places: Sequence[int]) -> None:
        """Run all three networks once."""
        pairs = [self.matches[place] for place in places]
        left, right, moved = self.tensors(
            [each.reference.name for each in pairs], [each.candidate.name for each in pairs]
        )
        for place, each in zip(places, pairs, strict=True):
            expected, actual = left[each.reference.name], right[each.candidate.name]
            if self._stored == "int8" and _RECTIFIER == each.reference.kind != each.candidate.kind:
                actual = np.maximum(actual, 0)  # a quantiser whose range starts at 0 has replaced it
            self.errors[place] = CurvePoint(
                each.reference.name,
                each.candidate.layer or each.reference.layer,  # a normalisation is in its convolution there
                each.reference.kind,
                relative_l2(expected, actual),
                relative_l2(expected, moved[each.reference.name]),
            )

    def tensors(self, reference: Sequence[str], candidate: Sequence[str]) -> tuple[Tensors, Tensors, Tensors]:
        """The tensors of the reference, the candidate, and the reference with perturbed weights."""
        left, right, moved = self._networks
        self.runs += 1
        return (
            left.run(self._feeds[0], reference),
            right.run(self._feeds[1], candidate),
            moved.run(self._feeds[0], reference),
        )

    def differs(self, place: int) -> bool:
        """Whether the tensor differs by more than rounding explains."""
        return not self.errors[place].times_expected <= self.tolerated

    def narrow(self) -> int | None:
        """The index of the tensor that differs most from what its sources explain; None if the output is correct."""
        last = len(self.matches) - 1
        self.measure(self._spread(list(range(last + 1)), always=last))
        # Ranges of int8 come from other images and cut off rare values: inner tensors may be far off, the output not.
        # Where every tensor has to be right, a fault may be too small to show in the output.
        if not self.differs(last) and (self._stored != "float32" or not any(map(self.differs, self.errors))):
            return None
        while True:
            region = self._suspects(last)
            unknown = [place for place in region if place not in self.errors]
            roots = [place for place in region if place in self.errors and self.differs(place)]
            if not unknown:
                return max(roots, key=self._jump)
            self.measure(self._spread(unknown))

    def _jump(self, place: int) -> float:
        """How much larger a tensor's error is than the worst of its sources', in units of expected rounding error."""
        sources = [self.errors[each].times_expected for each in self.matches[place].sources if each in self.errors]
        return self.errors[place].times_expected / max([1.0, *sources])

    def entered(self, place: int) -> CurvePoint:
        """The error of a tensor, with the part beyond the worst of its sources."""
        point = self.errors[place]
        sources = [self.errors[each].error for each in self.matches[place].sources if each in self.errors]
        return replace(point, entered=max(0.0, point.error - max(sources, default=0.0)))

    def _suspects(self, last: int) -> list[int]:
        """Indices where the divergence may start.

        Once all from which `last` is computed are known, all of them; before, those from which the earliest tensor
        known to differ is computed, looking no further than through tensors that are right.
        """
        everything = self._before(last, through_right=True)
        if all(place in self.errors for place in everything):
            return everything
        return self._before(min(place for place in self.errors if self.differs(place)), through_right=False)

    def _before(self, last: int, *, through_right: bool) -> list[int]:
        before: set[int] = set()
        waiting = [last]
        while waiting:
            place = waiting.pop()
            if place in before:
                continue
            before.add(place)
            if through_right or place not in self.errors or self.differs(place):
                waiting += self.matches[place].sources
        return sorted(before)

    def _spread(self, places: list[int], always: int | None = None) -> list[int]:
        """As many of the indices as the budget allows, evenly spaced."""
        sizes = [max(self.matches[place].reference.size, 1) for place in places]
        count = len(places)
        while count > 1 and sum(sizes[:: -(-len(places) // count)]) > BUDGET:
            count //= 2
        step = -(-len(places) // count)
        chosen = places[step // 2 :: step] if step > 1 else places
        return sorted({*chosen, *(() if always is None else (always,))})


def search(
    reference: Inspector, candidate: Inspector, stored: WeightType, feed: Array, candidate_feed: Array
) -> Findings:
    """Compare the intermediate tensors of two networks on one image; `stored` is the type of the candidate's weights.

    `feed` and `candidate_feed` are the main input (1, C, H, W) of each.
    """
    state = _Search(reference, candidate, stored, (feed, candidate_feed))
    place = state.narrow()
    curve = tuple(state.entered(each) for each in sorted(state.errors))
    location = None if place is None else _explain(state, place)
    return Findings(location, curve, state.runs)


def relative_l2(reference: npt.NDArray[np.float32], candidate: npt.NDArray[np.float32]) -> float:
    """The norm of the difference over the norm of the reference; infinite if the candidate is not finite."""
    if candidate.size != reference.size or not np.isfinite(candidate).all():
        return float("inf")
    apart = candidate.reshape(-1) - reference.reshape(-1)
    norm = float(np.linalg.norm(reference))
    return float(np.linalg.norm(apart)) / norm if norm else float(np.any(apart != 0))


def _explain(state: _Search, place: int) -> Location:
    """The node behind a tensor that differs, or one that the candidate has inserted between it and its sources."""
    pair = state.matches[place]
    sources = [state.matches[each].reference for each in pair.sources]
    passed = [point for point in pair.passed if any(point.size == source.size for source in sources)]
    left, right, _ = state.tensors(
        [pair.reference.name, *(source.name for source in sources)],
        [pair.candidate.name, *(point.name for point in passed)],
    )
    point = state.errors[place]
    for inserted in passed:
        source = _nearest(inserted, pair, sources, left, right)
        # Where a quantiser's range starts at 0, the rectifier before it has been left out.
        actual = right[inserted.name].reshape(left[source.name].shape)
        either = left[source.name], np.maximum(left[source.name], 0)
        expected = min(either, key=lambda each: relative_l2(each, actual))
        error = relative_l2(expected, actual)
        allowed = max((state.errors[each].expected for each in pair.sources), default=ROUNDING_FLOOR)
        if not error <= state.tolerated * max(allowed, ROUNDING_FLOOR) and not error < point.error / 4:
            symptom = divergence.describe(expected, actual)
            layer = inserted.layer or source.layer
            return Location("network", layer, inserted.node, inserted.kind, symptom, error, allowed)
    expected, actual = left[pair.reference.name], right[pair.candidate.name]
    symptom = "the size differs"
    if expected.size == actual.size:
        symptom = divergence.describe(expected, actual.reshape(expected.shape))
    return Location("network", point.layer, pair.candidate.node, point.kind, symptom, point.error, point.expected)


def _nearest(
    inserted: TensorPoint, pair: Match, sources: Sequence[TensorPoint], left: Tensors, right: Tensors
) -> TensorPoint:
    """The source that an inserted tensor stands for: the most similar one of the same size."""
    fitting = [source for source in sources if source.size == inserted.size]
    return min(fitting, key=lambda source: relative_l2(left[source.name], right[inserted.name]))
