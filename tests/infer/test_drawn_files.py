"""Each file beside the labels is written where it is asked for, as the task saves it, and not otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densecast.pipeline import Pipeline
from densecast.tasks.segmentation import TASK, SegmentationMap
from densecast.verbs.infer import infer

ENDINGS = {"scores": "_score.png", "colour": "_colour.png", "overlay": "_overlay.jpg"}


@pytest.mark.parametrize("asked", [(), ("scores",), ("colour",), ("overlay",), tuple(ENDINGS)], ids=str)
def test_what_is_asked_for_is_written_beside_the_labels(bright: Path, tmp_path: Path, asked: tuple[str, ...]) -> None:
    pixels = np.full((40, 56, 3), 30, np.uint8)
    pixels[5:20, 8:30] = 220
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    with Pipeline.open(bright) as pipeline:
        infer(pipeline, [path], tmp_path / "out", **dict.fromkeys(asked, True))  # type: ignore[arg-type]
        labels = SegmentationMap(np.asarray(Image.open(tmp_path / "out" / "a.png")))
        colours = np.asarray(Image.open(TASK.save_colour(tmp_path / "own", labels, pipeline.spec)))
        drawn = TASK.draw(pixels, labels, pipeline.spec)
    assert 0 < labels.class_id.mean() < 1
    beside = {each.name for each in (tmp_path / "out").iterdir() if not each.name.startswith(".")}
    assert beside == {"a.png", *(f"a{ENDINGS[each]}" for each in asked)}
    if "colour" in asked:
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a_colour.png")), colours)
    if "overlay" in asked:
        overlay = np.asarray(Image.open(tmp_path / "out" / "a_overlay.jpg"))
        assert overlay.shape == drawn.shape and np.abs(overlay.astype(int) - drawn).mean() < 8
