"""Which window of an image a model of sliding windows is calibrated on: another part of it for each image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
from made_images import write_jpeg

from densecast.imaging.read import read_for
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.slide import Slide
from densecast.spec.tensor import TensorSpec
from densecast.verbs.builder.calibration import CalibrationFeeds, Item


@pytest.mark.parametrize("batch", [1, 2])
def test_windows_are_taken_at_multiples_of_the_golden_ratio(batch: int, tmp_path: Path) -> None:
    spec = replace(tiny_artifacts.spec(Preprocess(Native())), slide=Slide((16, 16), (16, 16)))
    spec = spec.with_input(TensorSpec(spec.input.name, "float32", (batch, 3, 16, 16)))
    items = [Item(f"{place}.png", write_jpeg(tmp_path / f"{place}.jpg", (32, 80), place)) for place in range(8)]
    feeds = CalibrationFeeds(items, spec)
    taken = []
    for place, item in enumerate(items):
        image = read_for(item.path, spec).astype(np.float64)
        (feed,) = feeds[place].values()
        assert feed.shape == (batch, 3, 16, 16) and all(np.array_equal(each, feed[0]) for each in feed)
        # 2 x 5 windows, row by row.
        windows = [
            image[16 * down : 16 * down + 16, 16 * across : 16 * across + 16]
            for down in range(2)
            for across in range(5)
        ]
        apart = [np.abs(window.transpose(2, 0, 1) / 255 - feed[0]).max() for window in windows]
        assert min(apart) < 1e-6
        taken.append(int(np.argmin(apart)))
    golden = (5**0.5 - 1) / 2
    assert taken == [int((place + 0.5) * golden % 1 * 10) for place in range(8)] and len(set(taken)) >= 7
    # Some of the images are each as they are among all.
    for place, part in ((3, feeds.picked([5, 3])), (5, feeds[5:7])):
        index = 1 if place == 3 else 0
        np.testing.assert_array_equal(part[index]["image"], feeds[place]["image"])
