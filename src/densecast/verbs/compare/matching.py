"""Matches the intermediate tensors of two networks: by name, else by layer, operator and occurrence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from densecast.backends._inspection import TensorPoint, with_channels_last

# An exporter folds these into the convolution before them.
_FOLDED = "BatchNormalization"


@dataclass(frozen=True, slots=True)
class Match:
    """A tensor that both networks compute, with the indices of the matches that it is computed from.

    `passed` are the candidate's nodes, beside its own, between those and it.
    """

    reference: TensorPoint
    candidate: TensorPoint
    sources: tuple[int, ...]
    passed: tuple[TensorPoint, ...] = ()


def match(reference: Sequence[TensorPoint], candidate: Sequence[TensorPoint]) -> list[Match]:
    """Match the tensors of both networks, in topological order; the outputs, which are last in both, always match.

    What the candidate computes with its channels last has no like in the reference.
    """
    hidden = with_channels_last(candidate)
    pairs = _pairs(reference, [point for point in candidate if point.name not in hidden])
    places = {pair[0].name: place for place, pair in enumerate(pairs)}
    reach = _reach(reference, places)
    by_name = {point.name: point for point in candidate}
    taken = {pair[1].name for pair in pairs}
    return [
        Match(left, right, tuple(sorted(reach[left.name])), _passed(right, by_name, taken, hidden))
        for left, right in pairs
    ]


def _pairs(reference: Sequence[TensorPoint], candidate: Sequence[TensorPoint]) -> list[tuple[TensorPoint, TensorPoint]]:
    by_name = {point.name: point for point in candidate}
    by_key = dict(zip(_keys(candidate), candidate, strict=True))
    folded = _folded_by(reference, candidate)
    alone, alone_there = _alone_in_layer(reference), _alone_in_layer(candidate)
    pairs: list[tuple[TensorPoint, TensorPoint]] = []
    taken: set[str] = set()
    for left, key in zip(reference, _keys(reference), strict=True):
        if left is reference[-1]:
            break
        if left.name in folded.values():
            continue  # a convolution whose result no tensor of the candidate holds
        right = by_name.get(left.name)
        if right is None and left.name in folded:
            right = by_key.get(_key_of(reference, folded[left.name]))
        if right is None:
            right = by_key.get(key)
        if right is None and left.layer in alone:
            right = alone_there.get(left.layer)  # another operator in its place
        fits = right is not None and right is not candidate[-1] and right.name not in taken
        if fits and right is not None and (not left.size or not right.size or left.size == right.size):
            pairs.append((left, right))
            taken.add(right.name)
    return [*pairs, (reference[-1], candidate[-1])]


def _alone_in_layer(points: Sequence[TensorPoint]) -> dict[str, TensorPoint]:
    """By layer, the points that are alone in their layer."""
    counts = Counter(point.layer for point in points)
    return {point.layer: point for point in points if point.layer and counts[point.layer] == 1}


def _keys(points: Sequence[TensorPoint]) -> list[tuple[str, str, int]]:
    """The unique key (layer, operator, occurrence) of each point."""
    occurrences: Counter[tuple[str, str]] = Counter()
    keys = []
    for point in points:
        kind = (point.layer, point.kind)
        keys.append((*kind, occurrences[kind]))
        occurrences[kind] += 1
    return keys


def _key_of(points: Sequence[TensorPoint], name: str) -> tuple[str, str, int]:
    return next(key for key, point in zip(_keys(points), points, strict=True) if point.name == name)


def _folded_by(reference: Sequence[TensorPoint], candidate: Sequence[TensorPoint]) -> dict[str, str]:
    """Batch normalisations that the candidate has folded, by name, with their convolution."""
    there = {point.layer for point in candidate if point.kind == _FOLDED}
    kinds = {point.name: point.kind for point in reference}
    return {
        point.name: point.sources[0]
        for point in reference
        if point.kind == _FOLDED and point.layer not in there and kinds.get(point.sources[0], "").startswith("Conv")
    }


def _reach(points: Sequence[TensorPoint], places: dict[str, int]) -> dict[str, set[int]]:
    """For each point the nearest matched points that it is computed from, skipping those without a match."""
    through: dict[str, set[int]] = {}
    reach: dict[str, set[int]] = {}
    for point in points:
        nearest: set[int] = set()
        for source in point.sources:
            nearest |= {places[source]} if source in places else through.get(source, set())
        reach[point.name] = through[point.name] = nearest
    return reach


def _passed(
    point: TensorPoint, by_name: dict[str, TensorPoint], taken: set[str], hidden: frozenset[str]
) -> tuple[TensorPoint, ...]:
    passed: dict[str, TensorPoint] = {}
    waiting = list(point.sources)
    while waiting:
        name = waiting.pop()
        source = by_name.get(name)
        if source is None or name in taken or name in passed:
            continue
        passed[name] = source
        waiting += source.sources
    return tuple(source for source in reversed(passed.values()) if source.name not in hidden)
