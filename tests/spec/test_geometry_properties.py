"""Whatever the image and the rule, points go to the network and come back, and the image's edges are its content's."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some

from densecast.spec.preprocess import KeepRatio, Native, NearMultiple, PoseAffine, Resize, ScaleBy, Stretch
from densecast.spec.resize import RULES, FitCentre, FitInto, Letterbox, ShortSide, ToMultiple

sides = some.integers(1, 5000)
sizes = some.tuples(sides, sides)
rules: dict[type, some.SearchStrategy[Resize]] = {
    Native: some.just(Native()),
    ScaleBy: some.builds(ScaleBy, some.floats(0.01, 4)),
    Stretch: some.builds(Stretch, sizes),
    KeepRatio: some.builds(KeepRatio, sides, sides),
    ShortSide: some.builds(ShortSide, some.integers(1, 1000)),
    ToMultiple: some.builds(ToMultiple, some.integers(1, 64), some.builds(KeepRatio, sides, sides)),
    NearMultiple: some.builds(NearMultiple, some.integers(1, 64), sizes, some.booleans(), some.just("nearest")),
    FitInto: some.builds(FitInto, sizes),
    FitCentre: some.builds(FitCentre, sizes),
    Letterbox: some.builds(Letterbox, sizes),
    PoseAffine: some.builds(PoseAffine, some.integers(64, 1024), some.sampled_from([32, 64])),
}
points = some.lists(some.tuples(some.floats(-1, 2), some.floats(-1, 2)), min_size=1, max_size=4)


def test_every_rule_is_tried() -> None:
    assert set(rules) == set(RULES)


@settings(max_examples=150, deadline=None)
@given(sizes, some.one_of(*rules.values()), points)
def test_points_there_and_back(image_hw: tuple[int, int], rule: Resize, shares: list[tuple[float, float]]) -> None:
    placement = rule.place(image_hw)
    xy = np.array(shares) * image_hw[::-1]
    back = placement.to_image(placement.to_model(xy))
    # A matrix of poses is in float32, as that of the original is.
    atol = 1e-2 if isinstance(rule, PoseAffine) else 1e-7
    np.testing.assert_allclose(back, xy, rtol=0, atol=atol * max(image_hw) / 100)


@settings(max_examples=150, deadline=None)
@given(sizes, some.one_of(*(each for kind, each in rules.items() if kind is not PoseAffine)))
def test_the_images_edges_are_its_contents(image_hw: tuple[int, int], rule: Resize) -> None:
    placement = rule.place(image_hw)
    first, last = placement.to_model((0.0, 0.0)), placement.to_model((float(image_hw[1]), float(image_hw[0])))
    # (width, height) of what is left between the edges; sizes are whole numbers of pixels, at least one.
    np.testing.assert_allclose(np.subtract(last, first), placement.content_hw[::-1], rtol=0, atol=1e-6)
    assert min(placement.content_hw) >= 1
    assert np.all(np.array(first) >= 0) or isinstance(rule, FitCentre)
    if isinstance(rule, Stretch | FitInto | FitCentre | Letterbox):
        assert placement.model_hw == rule.size_hw
