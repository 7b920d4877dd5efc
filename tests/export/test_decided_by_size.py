"""A traced graph keeps one way of what code decides by the size: the sizes of that way are found by trying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tiny_specs

from densecast.errors import BadGraphError
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Dim, Feeds, TensorSpec
from densecast.verbs.export import decided_sizes

Network = Callable[[Feeds], Feeds]
PLACES = ("net.py:3", "net.py:9", "net.py:12", "net.py:20")


def spec_of(least: int, most: int, multiple: int = 1) -> ModelSpec:
    spec = tiny_specs.segmentation()
    sides = Dim("h", least, most, multiple), Dim("w", least, most, multiple)
    return replace(spec, inputs=(TensorSpec(spec.input.name, "float32", (1, 3, *sides)),))


def network(otherwise: Callable[[int, int], bool], fails: Callable[[int, int], bool] = lambda h, w: False) -> Network:
    """Answers with ones, or with twos where it decides `otherwise`."""

    def run(feeds: Feeds) -> Feeds:
        (image,) = feeds.values()
        height, width = image.shape[2:]
        if fails(height, width):
            raise ValueError("no such size")
        return {"logits": np.full((1, 2, height, width), 2 if otherwise(height, width) else 1, np.float32)}

    return run


GRAPH = network(lambda h, w: False)


def test_a_graph_that_answers_as_the_network_keeps_its_sizes() -> None:
    spec = spec_of(8, 256)
    assert decided_sizes.fit(spec, PLACES, GRAPH, GRAPH) == (spec, ())


@pytest.mark.parametrize(
    ("decides_below", "least"), [(8, 8), (9, 16), (16, 16), (17, 32), (64, 64), (65, 128), (250, 256)]
)
def test_small_images_are_narrowed_away_by_doubling(decides_below: int, least: int) -> None:
    spec = spec_of(8, 256)
    fitted, notes = decided_sizes.fit(spec, PLACES, network(lambda h, w: min(h, w) < decides_below), GRAPH)
    assert [(side.min, side.max) for side in fitted.input.shape[2:]] == [(least, 256)] * 2  # type: ignore[union-attr]
    told = f"below {least}×{least} its code decides otherwise (net.py:3, net.py:9, net.py:12, …): larger images alone"
    assert notes == (() if least == 8 else (told,))


@pytest.mark.parametrize(
    ("otherwise", "at"),
    [
        (lambda h, w: True, "8×8"),
        (lambda h, w: w > h, "64×512"),
        (lambda h, w: h > w, "512×64"),
    ],
)
def test_other_answers_at_every_size_or_along_strips_are_refused(
    otherwise: Callable[[int, int], bool], at: str
) -> None:
    with pytest.raises(BadGraphError, match=rf"^at {at} the exported graph .* \(net\.py:3\), and") as raised:
        decided_sizes.fit(spec_of(8, 512), PLACES[:1], network(otherwise), GRAPH)
    assert raised.value.field == "size_hw"


def test_sizes_that_the_network_does_not_take_say_nothing_and_those_that_only_the_graph_does_not_take_do() -> None:
    spec = spec_of(8, 256)
    picky = network(lambda h, w: False, fails=lambda h, w: min(h, w) < 20)
    assert decided_sizes.fit(spec, PLACES, picky, GRAPH) == (spec, ())
    fitted, _ = decided_sizes.fit(spec, PLACES, GRAPH, picky)
    assert fitted.input.shape[2] == Dim("h", 32, 256)


def test_without_decisions_or_open_sizes_nothing_is_tried() -> None:
    def never(feeds: Feeds) -> Feeds:
        raise AssertionError

    spec = spec_of(8, 256)
    assert decided_sizes.fit(spec, (), never, never) == (spec, ())
    fixed = replace(spec, inputs=(replace(spec.input, shape=(1, 3, 64, 96)),))
    assert decided_sizes.fit(fixed, PLACES, never, never) == (fixed, ())
