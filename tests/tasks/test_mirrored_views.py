"""What a network says of the mirrored image lies, turned back, where the plain image has it, whatever surrounds it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_specs
from made_images import picture

from densecast.imaging.views import prepare_views
from densecast.runtime.batching import Buffers
from densecast.runtime.clock import unclocked
from densecast.spec.augment import Augment
from densecast.spec.preprocess import FitCentre, FitInto, Letterbox, Native, Preprocess, Resize
from densecast.tasks.monocular_depth import MonocularDepthDecode, MonocularDepthTask
from densecast.tasks.segmentation import TASK

HW = (61, 45)
# Each leaves an odd number of columns over, or pads to a multiple.
RULES = [(Letterbox((64, 64)), 1), (FitInto((64, 64)), 1), (Native(), 16), (FitCentre((64, 64)), 1)]


@pytest.mark.parametrize(("resize", "multiple"), RULES, ids=lambda each: type(each).__name__)
def test_a_copy_of_the_mirrored_image_is_the_image(resize: Resize, multiple: int) -> None:
    rule = Preprocess(resize, mean=(100.0,) * 3, std=(50.0,) * 3, pad_multiple=multiple)
    spec = replace(tiny_specs.depth(MonocularDepthDecode(form="inverse")), preprocess=rule)
    (inputs,) = prepare_views([picture(HW)], spec, Augment(flip=True), Buffers(), unclocked)
    plain, mirrored = (
        MonocularDepthTask().postprocess([{"depth": array[:1]}], [view], spec).values
        for array, view in zip(inputs.arrays("image"), inputs.views, strict=True)
    )
    assert plain.shape == HW and inputs.placement.is_padded and plain.std() > 0.1
    np.testing.assert_allclose(mirrored, plain, atol=1e-5)


@pytest.mark.parametrize(("resize", "multiple"), RULES[:3], ids=lambda each: type(each).__name__)
def test_labels_of_the_mirrored_image_are_those_of_the_image(resize: Resize, multiple: int) -> None:
    rule = Preprocess(resize, mean=(100.0,) * 3, std=(50.0,) * 3, pad_multiple=multiple)
    spec = replace(tiny_specs.segmentation(), preprocess=rule)
    (inputs,) = prepare_views([picture(HW)], spec, Augment(flip=True), Buffers(), unclocked)
    plain, mirrored = (
        TASK.postprocess([{"logits": array[:2]}], [view], spec).class_id
        for array, view in zip(inputs.arrays("image"), inputs.views, strict=True)
    )
    assert plain.shape == HW and 0.1 < plain.mean() < 0.9
    # Where both logits are alike rounding may decide otherwise; a shift by a column would change hundreds of labels.
    assert (mirrored != plain).sum() < 10
