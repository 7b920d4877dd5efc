"""The real Carvana files, where they are: they open, and only their number is found wanting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from densecast.datasets import carvana
from densecast.errors import BadDatasetError
from densecast.imaging.read import read_image, size_hw


@pytest.fixture(scope="module")
def root(test_data: Path) -> Path:
    return test_data / "carvana"


def test_every_image_has_a_mask_of_its_size_and_two_values(root: Path) -> None:
    dataset = carvana.open(root, "all")
    assert len(dataset.samples) == len(list((root / "imgs").glob("*.jpg")))
    for sample in dataset.samples:
        target = dataset.read_target(sample)
        assert set(np.unique(target)) == {0, 1}
        assert target.shape == size_hw(sample.image) == read_image(sample.image).shape[:2]


def test_only_the_number_of_images_is_found_wanting(root: Path) -> None:
    report = carvana.check(root)
    assert report.counts["images"] == report.counts["masks"] == report.counts["pairs"]
    whole = report.counts["images"] == carvana.IMAGES
    assert len(report.problems) == (0 if whole else 1)
    assert whole or "the whole data set has 5088" in report.problems[0]


def test_a_handful_leaves_no_validation_split(root: Path) -> None:
    if len(list((root / "imgs").glob("*.jpg"))) >= 10:
        pytest.skip("there are enough images for one")
    with pytest.raises(BadDatasetError, match="split 'all'"):
        carvana.open(root, "val")
