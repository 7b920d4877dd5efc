"""What a manifest leaves out means what it meant when it was written: defaults of decoding are part of the format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from densecast.errors import BadConfigError
from densecast.io import codec
from densecast.tasks.monocular_depth import MonocularDepthDecode
from densecast.tasks.multilabel import MultilabelDecode
from densecast.tasks.pose import PoseDecode
from densecast.tasks.segmentation import SegmentationDecode


def binary(threshold: float) -> SegmentationDecode:
    return SegmentationDecode(form="binary_logits", threshold=threshold)


# As the documentation of each has them; another value of any changes labels, joints or depths.
DEFAULTS: list[tuple[type, dict[str, Any]]] = [
    (
        SegmentationDecode,
        {"align_corners": False, "to_image": "bilinear_logits", "form": "logits", "threshold": 0.5},
    ),
    (MultilabelDecode, {"threshold": 0.5, "thresholds": (), "activation": "sigmoid", "align_corners": False}),
    (
        MonocularDepthDecode,
        {
            "form": "metres",
            "scale_m": 1.0,
            "min_m": None,
            "max_m": None,
            "eval_min_m": 0.001,
            "eval_max_m": 80.0,
            "align": "none",
            "align_corners": False,
            "to_image": "bilinear",
        },
    ),
    (
        PoseDecode,
        {
            "flip": True,
            "project_to_image": True,
            "nms_kernel": 5,
            "max_people": 30,
            "detection_threshold": 0.1,
            "tag_threshold": 1.0,
            "use_detection_value": True,
            "ignore_too_many": False,
            "tag_per_joint": True,
            "adjust": True,
            "refine": True,
            "align_corners": False,
            "unbiased": False,
            "tags_output": 0,
            "skeleton": None,
        },
    ),
]


@pytest.mark.parametrize(("decode", "stated"), DEFAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_what_is_left_out_means_what_it_always_meant(decode: type, stated: dict[str, Any]) -> None:
    found = codec.from_plain({"kind": decode().kind}, decode, "manifest")
    assert {name: getattr(found, name) for name in stated} == stated
    assert {*stated, "kind"} == set(codec.to_plain(found))


@pytest.mark.parametrize(
    ("decode", "field", "good", "bad"),
    [
        (binary, "threshold", (0.001, 0.999), (0.0, 1.0, -1.0, float("nan"))),
        (PoseDecode, "nms_kernel", (1, 3, 7), (0, -1, 2, 4)),
        (PoseDecode, "max_people", (1, 30), (0, -1)),
        (PoseDecode, "tags_output", (0, 1), (-1,)),
        (PoseDecode, "detection_threshold", (0.0, 0.5), (-0.001, float("nan"))),
    ],
)
def test_numbers_of_decoding_hold_up_to_their_ends(
    decode: Callable[..., object], field: str, good: tuple[Any, ...], bad: tuple[Any, ...]
) -> None:
    for value in good:
        assert getattr(decode(**{field: value}), field) == value
    for value in bad:
        with pytest.raises(BadConfigError):
            decode(**{field: value})


def test_labels_of_a_graph_are_resized_at_the_centres_of_pixels() -> None:
    assert SegmentationDecode(form="labels").to_image == "nearest_labels_pillow"
    assert SegmentationDecode(form="labels", to_image="nearest_labels").to_image == "nearest_labels"
    assert SegmentationDecode(form="probabilities").to_image == "bilinear_logits"
