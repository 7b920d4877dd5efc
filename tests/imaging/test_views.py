"""All views of all images, in their order: each is what the image's own preprocessing gives, mirrored or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_specs
from made_images import picture

from densecast.errors import BadShapeError, UsageError
from densecast.imaging.prepare import prepare
from densecast.imaging.views import check_size, misfits, prepare_views
from densecast.runtime.batching import Buffers
from densecast.runtime.clock import unclocked
from densecast.spec.augment import Augment
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.slide import Slide
from densecast.spec.tensor import TensorSpec

AUGMENT = Augment((1.0, 0.5), flip=True)
SIZES_HW = [(40, 60), (32, 48), (40, 60)]


def test_every_image_has_its_views_ratio_by_ratio_and_mirrored_after_plain() -> None:
    spec = tiny_specs.segmentation()
    images = [picture(size_hw, seed) for seed, size_hw in enumerate(SIZES_HW)]
    made = prepare_views(images, spec, AUGMENT, Buffers(), unclocked)
    assert len(made) == 3
    for image, inputs in zip(images, made, strict=True):
        assert [(view.ratio, view.mirrored) for view in inputs.views] == [
            (1.0, False), (1.0, True), (0.5, False), (0.5, True),
        ]  # fmt: skip
        arrays = inputs.arrays("image")
        for rule, plain, mirrored, view in zip(
            spec.preprocess.at_ratios((1.0, 0.5)), arrays[::2], arrays[1::2], inputs.views[::2], strict=True
        ):
            wanted, placement = prepare(image, rule)
            np.testing.assert_array_equal(plain, wanted)
            np.testing.assert_array_equal(mirrored, wanted[:, :, ::-1])
            assert view.placement == placement
        assert inputs.placement == inputs.views[0].placement
        assert inputs.nbytes == sum(array.nbytes for array in arrays)
    # Views of one size lie one after another, ready to run together.
    base = made[0].arrays("image")[0].base
    assert base is not None and base.shape == (4, 3, 20, 30)
    np.testing.assert_array_equal(base[2], made[2].arrays("image")[0])


def test_further_inputs_show_the_same_image_by_their_own_rule() -> None:
    spec = tiny_specs.segmentation()
    second = TensorSpec("whole", "uint8", spec.input.shape)
    spec = replace(spec, inputs=(spec.input, second), input_preprocess={"whole": Preprocess(Native())})
    image = picture((40, 60))
    (inputs,) = prepare_views([image], spec, Augment(), Buffers(), unclocked)
    np.testing.assert_array_equal(inputs.arrays("image")[0], prepare(image, spec.preprocess)[0])
    np.testing.assert_array_equal(inputs.arrays("whole")[0], image.transpose(2, 0, 1))
    assert inputs.placement.model_hw == (20, 30)


def test_sizes_that_the_network_does_not_take_are_told_by_image() -> None:
    spec = tiny_specs.segmentation()  # half size, sides of 8 to 512
    fits, small, wide = picture((16, 1024)), picture((15, 40)), picture((40, 1026))
    for image in (fits, picture((1024, 16))):
        check_size(image.shape[:2], spec, Augment())
    wrong = misfits({7: fits, 8: small, 9: wide}, spec, Augment())
    assert set(wrong) == {8, 9}
    assert "40×15 pixels becomes 7 high" in str(wrong[8]) and "1026×40 pixels becomes 513 wide" in str(wrong[9])
    with pytest.raises(BadShapeError, match="becomes 4 high"):  # at half the ratio
        check_size((16, 1024), spec, AUGMENT)
    with pytest.raises(BadShapeError, match="becomes 7 high"):
        prepare_views([fits, small], spec, Augment(), Buffers(), unclocked)


def test_windows_are_parts_of_the_whole_input_in_order_from_the_top() -> None:
    spec = replace(tiny_specs.segmentation(), slide=Slide((16, 16), (8, 8)))
    image = picture((40, 60))
    (inputs,) = prepare_views([image], spec, Augment((1.0, 2.0), flip=True), Buffers(), unclocked)
    wholes = {ratio: prepare(image, rule)[0] for ratio, rule in
              zip((1.0, 2.0), spec.preprocess.at_ratios((1.0, 2.0)), strict=True)}  # fmt: skip
    assert len(inputs.feeds) == len(inputs.views) == 2 * (2 * 3) + 2 * (4 * 7)
    ends = []
    for feed, view in zip(inputs.feeds, inputs.views, strict=True):
        whole, window = wholes[view.ratio], view.window
        assert window is not None
        seen = whole[:, :, ::-1] if view.mirrored else whole
        np.testing.assert_array_equal(feed["image"], seen[:, window.top : window.bottom, window.left : window.right])
        ends.append(window.bottom / whole.shape[1])
    assert ends == sorted(ends)
    part = inputs.feeds[3:5]
    assert len(part) == 2
    np.testing.assert_array_equal(part[1]["image"], inputs.feeds[4]["image"])
    # What is held is the resized image of each ratio, in bytes.
    assert inputs.nbytes == sum(whole.size for whole in wholes.values())
    with pytest.raises(UsageError, match="a ratio is there twice"):
        prepare_views([image], spec, Augment((1.0, 1.0)), Buffers(), unclocked)
