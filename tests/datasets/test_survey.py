"""What lies in a folder whose layout cannot tell by itself, and how many images of a split a protocol needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_pairs import depth, depth_of, multilabel, scene

from densecast.datasets import depth_pairs, multilabel_pairs
from densecast.datasets._base import EvaluationProtocol
from densecast.datasets._survey import NOT_EVALUATED, indexed, survey
from densecast.errors import BadDatasetError, MissingFileError
from densecast.spec.sample import Sample


@pytest.mark.parametrize("kind", ["depth", "multilabel"])
def test_only_splits_that_the_data_itself_has_are_its_own(tmp_path: Path, kind: str) -> None:
    root, layout = (
        (depth(tmp_path / "d", 5), depth_pairs.DATASET)
        if kind == "depth"
        else (multilabel(tmp_path / "d", 5), multilabel_pairs.DATASET)
    )
    drawn = survey(layout, root)
    assert [sample.id for sample in drawn.samples] == [f"{index:02}" for index in range(5)]
    assert drawn.splits == {} and drawn.problems == ()  # what is drawn by a seed is no split of the data's
    (root / "train.txt").write_text("00\n03\n")
    (root / "val.txt").write_text("01\n")
    listed = survey(layout, root)
    assert listed.splits == {"train": {"00", "03"}, "val": {"01"}}
    if kind == "depth":
        metres = listed.read(listed.samples[0])
        np.testing.assert_allclose(metres[1:], depth_of(scene(0))[1:], atol=6e-4)


def test_what_cannot_be_opened_tells_all_that_is_wrong(tmp_path: Path) -> None:
    root = depth(tmp_path / "d", 4)
    for index in (1, 2):
        (root / "depth" / f"{index:02}.png").unlink()
    found = survey(depth_pairs.DATASET, root)
    assert found.samples == () and found.splits == {}
    for index in (1, 2):
        assert any(f"{index:02}" in problem for problem in found.problems[1:])
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match="does not exist"):
        survey(depth_pairs.DATASET, tmp_path / "empty")


def test_values_of_indices_are_their_own_classes(tmp_path: Path) -> None:
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    values, classes = indexed(lambda sample: labels, 3)(Sample("a", tmp_path, tmp_path))
    np.testing.assert_array_equal(values, labels)
    assert classes == {0: 0, 1: 1, 2: 2, 255: NOT_EVALUATED}


@pytest.mark.parametrize(
    ("count", "total", "taken", "refused"),
    [(1000, 1449, (1000, 1449, 5000), (0, 999)), (500, 500, (500,), (499, 501, 1500))],
)
def test_a_protocol_takes_its_number_of_images_and_all_of_them_where_it_measures_all(
    count: int, total: int, taken: tuple[int, ...], refused: tuple[int, ...]
) -> None:
    protocol = EvaluationProtocol("val", count, total, ("stretch",), ("nearest_labels",), "stretch", "some of val")
    for images in taken:
        protocol.check_images("some", images)
    for images in refused:
        with pytest.raises(BadDatasetError, match=f"measures {count} of the {total} images of val, here are {images}"):
            protocol.check_images("some", images)
