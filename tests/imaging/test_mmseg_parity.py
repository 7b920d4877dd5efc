"""Network inputs are those of MMSegmentation's test pipeline, bit for bit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import mmseg_cases
import numpy as np
import pytest

from densecast.imaging.prepare import prepare, resize_labels
from densecast.spec.preprocess import KeepRatio, Native, Preprocess, ScaleBy, Stretch

# Made by parity/make_segmentation_goldens.py with MMSegmentation 0.30.0, MMCV 1.7.2 and OpenCV 4.11.
GOLDENS = np.load(Path(__file__).parents[1] / "golden" / "segmentation_pipeline.npz")
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.mark.parametrize("name", mmseg_cases.CASES)
def test_inputs_are_mmsegmentations_to_the_last_bit(name: str) -> None:
    case = mmseg_cases.CASES[name]
    width, height = case.scale_wh
    resize = KeepRatio(width, height) if case.keep_ratio else Stretch((height, width))
    found = []
    for ratio in case.ratios:
        array, _ = prepare(mmseg_cases.image(name), Preprocess(resize.scaled(ratio), mean=MEAN, std=STD))
        found.append(array)
        if case.flip:
            found.append(np.ascontiguousarray(array[:, :, ::-1]))
    assert [hashlib.sha256(array.tobytes()).hexdigest() for array in found] == GOLDENS[f"{name} inputs"].tolist()


@pytest.mark.parametrize(
    ("image_hw", "resized_hw"),
    [((97, 131), (1024, 1383)), ((480, 640), (1024, 1365)), ((1024, 2048), (1024, 2048)), ((1080, 1920), (1024, 1820))],
)
def test_cityscapes_sizes_are_mmcvs(image_hw: tuple[int, int], resized_hw: tuple[int, int]) -> None:
    assert KeepRatio(2048, 1024).place(image_hw).model_hw == resized_hw


@pytest.mark.parametrize(
    ("image_hw", "resized_hw"), [((375, 500), (512, 683)), ((500, 333), (769, 512)), ((97, 131), (512, 691))]
)
def test_voc_sizes_are_mmcvs(image_hw: tuple[int, int], resized_hw: tuple[int, int]) -> None:
    assert KeepRatio(2048, 512).place(image_hw).model_hw == resized_hw


def test_ratios_scale_what_an_image_is_resized_to() -> None:
    assert KeepRatio(2048, 1024).scaled(0.75) == KeepRatio(1536, 768)
    assert Stretch((97, 131)).scaled(1.25) == Stretch((121, 163))
    assert ScaleBy(0.5).scaled(1.5) == ScaleBy(0.75)
    assert Native().scaled(0.5).place((97, 131)).model_hw == (48, 65)
    assert Stretch((4, 4)).scaled(0.01).place((97, 131)).model_hw == (1, 1)


@pytest.mark.parametrize(
    ("source_hw", "target_hw"), [((128, 256), (97, 131)), ((97, 131), (128, 256)), ((7, 5), (5, 7))]
)
def test_labels_by_opencvs_rule_are_those_at_the_upper_left_corner(
    source_hw: tuple[int, int], target_hw: tuple[int, int]
) -> None:
    labels = np.random.default_rng(0).integers(0, 19, source_hw).astype(np.uint8)
    # Pixel x reads floor(x * source / target), with the factor as OpenCV computes it.
    rows, columns = (
        np.minimum(np.floor(np.arange(target) * (1 / (target / source))).astype(int), source - 1)
        for source, target in zip(source_hw, target_hw, strict=True)
    )
    np.testing.assert_array_equal(resize_labels(labels, target_hw, "opencv"), labels[rows][:, columns])
