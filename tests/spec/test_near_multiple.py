"""Sizes of networks for depth: about a size, in multiples; as Hugging Face's processors of DPT and GLPN find them."""

from __future__ import annotations

from typing import Any

import pytest

from densecast.errors import BadConfigError
from densecast.io import codec
from densecast.spec.preprocess import NearMultiple
from densecast.verbs.export import library_preprocess
from densecast.verbs.export.spec_file import SpecFile

DEPTH_ANYTHING = {
    "do_normalize": True,
    "do_pad": False,
    "do_rescale": True,
    "do_resize": True,
    "ensure_multiple_of": 14,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "DPTImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "keep_aspect_ratio": True,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 518, "width": 518},
    "size_divisor": None,
}


@pytest.mark.parametrize(
    ("rule", "image_hw", "expected_hw"),
    [
        # 518/480 is nearer to 1 than 518/640: the height becomes 518, the width 690.7 = 49.3 x 14.
        (NearMultiple(14, (518, 518), True), (480, 640), (518, 686)),
        (NearMultiple(14, (518, 518), True), (640, 480), (686, 518)),
        # 518/2000 is farther from 1 than 518/1000: the side of 1000 decides, and the other is 1036.
        (NearMultiple(14, (518, 518), True), (1000, 2000), (518, 1036)),
        (NearMultiple(14, (518, 518), True), (2000, 1000), (1036, 518)),
        # Neither is nearer: the height decides.
        (NearMultiple(14, (400, 600), True), (500, 500), (406, 406)),
        (NearMultiple(32, (384, 500), False), (480, 640), (384, 512)),
        # Halves go to the even multiple: 1.5 -> 2, 2.5 -> 2.
        (NearMultiple(32, (48, 80), False), (100, 100), (64, 64)),
        (NearMultiple(32, rounding="down"), (95, 127), (64, 96)),
        (NearMultiple(32, rounding="down"), (31, 64), (32, 64)),
        (NearMultiple(32, rounding="down", factor=2.0), (95, 127), (160, 224)),
        (NearMultiple(32), (79, 81), (64, 96)),
    ],
)
def test_sizes(rule: NearMultiple, image_hw: tuple[int, int], expected_hw: tuple[int, int]) -> None:
    placement = rule.place(image_hw)
    assert placement.model_hw == placement.content_hw == expected_hw


def test_a_ratio_scales_the_size_or_else_the_image() -> None:
    assert NearMultiple(14, (518, 519), True).scaled(0.5) == NearMultiple(14, (259, 259), True)
    assert NearMultiple(32, rounding="down").scaled(0.5) == NearMultiple(32, rounding="down", factor=0.5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"multiple": 0}, "multiple must be 1 to 4096"),
        ({"multiple": 2, "size_hw": (0, 5)}, "sides must be"),
        ({"multiple": 2, "keep_ratio": True}, "keep_ratio is for a size_hw"),
        ({"multiple": 2, "size_hw": (8, 8), "factor": 2.0}, "factor is for the image's own size"),
        ({"multiple": 2, "factor": float("nan")}, "factor must be above 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(BadConfigError, match=told):
        NearMultiple(**arguments)


def test_a_spec_file_names_it() -> None:
    table = {"kind": "near_multiple", "multiple": 14, "size_hw": [518, 518], "keep_ratio": True}
    read = codec.from_plain({"labels": ["depth"], "preprocess": {"resize": table}}, SpecFile, "spec.toml")
    assert read.preprocess.resize == NearMultiple(14, (518, 518), True)


def test_older_files_of_glpn_and_what_is_padded() -> None:
    old = {"do_resize": True, "do_rescale": True, "feature_extractor_type": "GLPNFeatureExtractor", "size_divisor": 64}
    assert library_preprocess.translate(old).resize == NearMultiple(64, rounding="down")
    with pytest.raises(BadConfigError, match="do_pad"):
        library_preprocess.translate({**DEPTH_ANYTHING, "do_pad": True, "size_divisor": 14})
    with pytest.raises(BadConfigError, match="size"):
        library_preprocess.translate({**DEPTH_ANYTHING, "size": {"shortest_edge": 5}})
