"""Rules of a model hold up to the ends that they state, and each part of a rule is looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_specs

from densecast.errors import BadConfigError, BadShapeError, UsageError
from densecast.spec.augment import Augment
from densecast.spec.data_options import Reading
from densecast.spec.preprocess import FitInto, Native, Preprocess, Stretch
from densecast.spec.tensor import TensorSpec, check_feeds
from densecast.tasks.pose import PoseDecode
from densecast.tasks.pose.skeleton import Skeleton


@pytest.mark.parametrize("side", [1, 65_536])
def test_sides_of_65536_pixels_are_the_largest(side: int) -> None:
    assert Stretch((side, 8)).place((4, 4)).model_hw == (side, 8)
    for wrong in (65_537, 0):
        with pytest.raises(BadConfigError, match="sides must be 1 to 65536 pixels"):
            Stretch((8, wrong))


@pytest.mark.parametrize("place", range(3))
def test_a_fill_is_refused_for_any_of_its_values(place: int) -> None:
    for wrong in (256.0, -1.0, float("nan")):
        fill = [0.0, 255.0, 100.0]
        FitInto((8, 8), fill=tuple(fill))
        fill[place] = wrong
        with pytest.raises(BadConfigError, match=r"a fill has values in 0\.\.255"):
            FitInto((8, 8), fill=tuple(fill))


@pytest.mark.parametrize(("number", "is_taken"), [(1.5e-30, True), (0.9e-30, False), (2e30, False)])
def test_a_divisor_is_between_the_least_and_the_largest_number(number: float, is_taken: bool) -> None:
    if is_taken:
        assert Preprocess(Native(), divisor=number).divisor == number
    else:
        with pytest.raises(BadConfigError, match="divisor must be above 0 and finite"):
            Preprocess(Native(), divisor=number)


@pytest.mark.parametrize(
    ("ratios", "flip", "views"), [((1.0,), False, 1), ((1.0,), True, 2), ((0.5,), False, 1), ((0.5, 1.0), True, 4)]
)
def test_only_the_image_as_it_is_is_a_plain_view(ratios: tuple[float, ...], flip: bool, views: int) -> None:
    augment = Augment(ratios, flip)
    assert (augment.is_plain, augment.views) == (ratios == (1.0,) and not flip, views)
    with pytest.raises(UsageError, match="--ratios must be positive numbers"):
        Augment((*ratios, 0.0), flip)


def test_feeds_are_the_inputs_and_nothing_else() -> None:
    inputs = (TensorSpec("image", "float32", (1, 3, 4, 4)), TensorSpec("mask", "uint8", (1, 1, 4, 4)))
    feeds = {"image": np.zeros((1, 3, 4, 4), np.float32), "mask": np.zeros((1, 1, 4, 4), np.uint8)}
    check_feeds(inputs, feeds)
    for wrong in ({**feeds, "more": feeds["mask"]}, {"image": feeds["image"]}, {}):
        with pytest.raises(BadShapeError, match=r"the network takes \['image', 'mask'\], got"):
            check_feeds(inputs, wrong)


def test_a_reading_knows_the_joints_of_a_model_of_other_people_than_cocos() -> None:
    spec = tiny_specs.pose()
    assert Reading.of(spec).joints == ()
    horse = Skeleton(("nose", "left hoof", "right hoof"), (0, 2, 1))
    assert Reading.of(replace(spec, decode=PoseDecode(skeleton=horse))).joints == horse.joints
    assert Reading.of(tiny_specs.segmentation()).joints == ()
