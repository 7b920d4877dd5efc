"""Two network inputs tell by their values which step of preparing the image differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_images import picture

from densecast.imaging.prepare import prepare
from densecast.spec.preprocess import Preprocess, Stretch
from densecast.verbs.compare.pipeline_steps import compare_inputs

IMAGENET = Preprocess(Stretch((64, 96)), mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
IMAGE = picture((100, 150), 2)


def prepared(rule: Preprocess) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(prepare(IMAGE, rule)[0], dtype=np.float32)


@pytest.mark.parametrize(
    ("step", "rule"),
    [
        ("colour order", replace(IMAGENET, colour="BGR")),
        ("colour order", replace(IMAGENET, colour="BGR", mean=(127.5,) * 3, std=(127.5,) * 3)),
        ("normalise", replace(IMAGENET, mean=(127.5,) * 3, std=(127.5,) * 3)),
        ("normalise", replace(IMAGENET, divisor=2.0)),
        ("resize", replace(IMAGENET, interpolation="bicubic_pillow")),
        ("resize", replace(IMAGENET, resize=Stretch((64, 100)))),
    ],
)
def test_the_step_is_named(step: str, rule: Preprocess) -> None:
    fault = compare_inputs(prepared(IMAGENET), prepared(rule))
    assert fault is not None and fault.step == step


def test_a_turned_photo_is_a_fault_of_decoding() -> None:
    right = prepared(IMAGENET)
    for wrong in (right[:, ::-1, ::-1], right[:, :, ::-1], np.rot90(right, axes=(1, 2))):
        fault = compare_inputs(right, wrong)
        assert fault is not None and fault.step == "decode"


def test_the_last_bits_are_no_fault() -> None:
    right = prepared(IMAGENET)
    assert compare_inputs(right, right * np.float32(1 + 1e-6)) is None
