"""Tensors of two networks are paired by name, by layer and operator, or as the only one of a layer."""

from __future__ import annotations

from densecast.backends._inspection import TensorPoint
from densecast.verbs.compare.matching import match


def point(name: str, kind: str, layer: str, *sources: str, size: int = 10) -> TensorPoint:
    return TensorPoint(name, f"node of {name}", kind, layer, sources, (), size)


def pairs(reference: list[TensorPoint], candidate: list[TensorPoint]) -> list[tuple[str, str]]:
    return [(each.reference.name, each.candidate.name) for each in match(reference, candidate)]


TORCH = [
    point("a", "Conv", "stem.0", "image"),
    point("b", "BatchNormalization", "stem.1", "a"),
    point("c", "Relu", "stem.2", "b"),
    point("d", "Relu", "stem", "c"),
    point("e", "Relu", "stem", "d"),
    point("out", "Conv", "head", "e"),
]


def test_a_folded_normalisation_is_the_convolution_before_it() -> None:
    graph = [
        point("w", "Conv", "stem.0", "image"),
        point("x", "Relu", "stem.2", "w"),
        point("y", "Relu", "stem", "x"),
        point("z", "Relu", "stem", "y"),
        point("logits", "Conv", "head", "z"),
    ]
    assert pairs(TORCH, graph) == [("b", "w"), ("c", "x"), ("d", "y"), ("e", "z"), ("out", "logits")]
    assert [each.sources for each in match(TORCH, graph)] == [(), (0,), (1,), (2,), (3,)]


def test_unfolded_it_is_itself() -> None:
    graph = [point(f"{each.name}2", each.kind, each.layer, *(f"{name}2" for name in each.sources)) for each in TORCH]
    assert pairs(TORCH, graph) == [(each.name, f"{each.name}2") for each in TORCH]


def test_another_operator_in_a_layers_place_is_its_counterpart_if_it_has_no_other() -> None:
    graph = [
        point("w", "Conv", "stem.0", "image"),
        point("x", "Identity", "stem.2", "w"),
        point("logits", "Conv", "head", "x"),
    ]
    assert pairs(TORCH, graph) == [("b", "w"), ("c", "x"), ("out", "logits")]


def test_sizes_have_to_agree_and_what_lies_between_is_passed() -> None:
    reference = [point("a", "Conv", "", "image"), point("out", "Conv", "", "a")]
    candidate = [
        point("a", "Conv", "", "image", size=11),
        point("q", "FakeQuantize", "", "a"),
        point("logits", "Conv", "", "q"),
    ]
    matches = match(reference, candidate)
    assert [(each.reference.name, each.candidate.name) for each in matches] == [("out", "logits")]
    assert [each.name for each in matches[0].passed] == ["a", "q"]


def test_what_is_computed_with_its_channels_last_is_paired_with_nothing() -> None:
    reference = [
        point("flat", "Reshape", "head", "image"),
        point("product", "MatMul", "head", "flat"),
        point("map", "Reshape", "head", "product"),
        point("out", "Conv", "head.last", "map"),
    ]
    rows = [
        point("image_channels_last", "Transpose", "head", "image"),
        point("flat_channels_last", "Reshape", "head", "image_channels_last"),
        point("product of rows", "MatMul", "head", "flat_channels_last"),
        point("map_channels_last", "Reshape", "head", "product of rows"),
        point("map", "Transpose", "head", "map_channels_last"),
        point("out", "Conv", "head.last", "map"),
    ]
    assert pairs(reference, rows) == [("map", "map"), ("out", "out")]
    assert [each.passed for each in match(reference, rows)] == [(), ()]
