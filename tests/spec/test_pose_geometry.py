"""Sizes, centres and matrices are those of MMPose 0.29.0 (golden/pose_warp.json), and points come back."""

import json
from pathlib import Path

import numpy as np
import pytest

from densecast.errors import BadShapeError
from densecast.spec.pose_geometry import place
from densecast.spec.preprocess import PoseAffine, Preprocess

PLACED = json.loads((Path(__file__).parents[1] / "golden" / "pose_warp.json").read_text())["placed"]


@pytest.mark.parametrize("case", PLACED, ids=lambda case: f"{case['image_hw']}-{case['short_side']}-{case['scale']}")
def test_sizes_and_centres_are_the_originals(case):
    placed = place(tuple(case["image_hw"]), case["short_side"], scale=case["scale"], min_scale=case["min_scale"])
    assert list(placed.model_hw) == case["model_hw"]
    assert list(placed.center_xy) == case["center_xy"]
    assert [value.hex() for value in placed.extent_xy] == case["extent_xy"]


def test_the_centre_is_rounded_half_to_even():
    assert place((131, 97)).center_xy == (48, 66)
    assert place((97, 131)).center_xy == (66, 48)


@pytest.mark.parametrize("image_hw", [(480, 640), (97, 131), (131, 97), (612, 612), (2160, 3840)])
def test_the_matrix_and_the_way_back_agree(image_hw):
    placed = place(image_hw)
    image, network = placed.triangles()
    # Image points of up to 3840 pixels in float32.
    np.testing.assert_allclose(placed.to_image(network, placed.model_hw), image, atol=2e-3)
    np.testing.assert_allclose(placed.placement.to_model(image), network, atol=2e-3)
    np.testing.assert_allclose(placed.placement.to_image(placed.placement.to_model(image)), image, atol=1e-9)


def test_maps_at_a_quarter_of_the_size_lead_to_the_same_place():
    placed = place((480, 640))
    xy = np.array([[10.0, 20.0], [300.5, 200.25]], np.float32)
    quarter_hw = (placed.model_hw[0] // 4, placed.model_hw[1] // 4)
    np.testing.assert_allclose(placed.to_image(xy / 4, quarter_hw), placed.to_image(xy, placed.model_hw), atol=1e-4)


@pytest.mark.parametrize(
    ("image_hw", "options"),
    [((0, 5), {}), ((5, 5), {"short_side": 0}), ((5, 5), {"multiple": 0}), ((5, 5), {"scale": 0.5}),
     ((5, 5), {"min_scale": 0.0})],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused(image_hw, options):
    with pytest.raises(BadShapeError):
        place(image_hw, **options)


def test_people_at_one_ratio_are_placed_as_at_several() -> None:
    # Of several ratios the smallest decides how small a picture may become, and so it does of one.
    resize = PoseAffine(512, scale=2.0)
    (alone,) = Preprocess(resize).at_ratios((1,))
    assert isinstance(alone.resize, PoseAffine)
    assert alone.resize.min_scale == resize.scale
    half = Preprocess(resize).at_ratios((1, 0.5))[0].resize
    assert isinstance(half, PoseAffine) and half.min_scale == resize.scale * 0.5
