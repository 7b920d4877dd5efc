"""What the files of an image end in is known before it is predicted, and an image without one of them is predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_specs
from made_images import write_jpeg

from densecast.spec.verb_options import InferOptions
from densecast.tasks import pose, segmentation
from densecast.verbs.infer import infer, sources
from densecast.verbs.infer.endings import endings_of


@pytest.mark.parametrize(
    ("asked", "endings"),
    [
        ({}, {".png"}),
        ({"scores": True}, {".png", "_score.png"}),
        ({"colour": True}, {".png", "_colour.png"}),
        ({"overlay": True}, {".png", "_overlay.jpg"}),
        ({"flip": True, "scores": True}, {".png", "_score.png"}),
        ({"scores": True, "colour": True, "overlay": True}, {".png", "_score.png", "_colour.png", "_overlay.jpg"}),
    ],
)
def test_class_maps_have_a_file_for_each_thing_that_is_asked_for(
    asked: dict[str, bool], endings: set[str], tmp_path: Path
) -> None:
    found = endings_of(segmentation.TASK, tiny_specs.segmentation(), tmp_path, **asked)
    assert set(found) == endings and len(found) == len(endings)


def test_people_and_people_seen_twice_have_one_file(tmp_path: Path) -> None:
    for flip in (False, True):
        (tmp_path / str(flip)).mkdir()
        assert endings_of(pose.TASK, tiny_specs.pose(), tmp_path / str(flip), flip=flip) == (".json",)


def test_a_sample_person_has_all_joints_but_the_first() -> None:
    maps = {"heat": np.full((5, 9, 11), 3.0, np.float32), "one": np.full((4,), 3.0, np.float32)}
    sample = pose.TASK.sample_outputs(maps, tiny_specs.pose())
    expected = np.zeros((5, 9, 11))
    expected[1:, 4, 5] = 1
    np.testing.assert_array_equal(sample["heat"], expected)
    assert sample["one"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("missing", [".png", "_score.png", "_colour.png", "_overlay.jpg"])
def test_an_image_that_lacks_a_file_is_predicted_again(missing: str, bright: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        write_jpeg(tmp_path / "images" / name)
    out, asked = tmp_path / "out", {"scores": True, "colour": True, "overlay": True}
    infer(bright, tmp_path / "images", out, **asked)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name[0] in "ab"}
    assert sorted(before) == sorted(f"{name}{end}" for name in "ab" for end in (
        ".png", "_score.png", "_colour.png", "_overlay.jpg"
    ))  # fmt: skip
    (out / f"a{missing}").unlink()
    options = InferOptions(skip_existing=True)
    again = infer(bright, tmp_path / "images", out, options=options, **asked)
    assert [Path(each.image).name for each in again.results] == ["a.jpg"] and len(again.skipped) == 1
    after = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name[0] in "ab"}
    assert after.keys() == before.keys()
    assert all(after[name] == before[name] for name in before if name.startswith("b"))
    # Of less that is asked for there is all, whatever else is missing.
    (out / "b_overlay.jpg").unlink()
    assert len(infer(bright, tmp_path / "images", out, options=options, scores=True, colour=True).skipped) == 2


def test_two_stars_of_a_pattern_go_through_all_folders(tmp_path: Path) -> None:
    for name in ("a.jpg", "in/b.jpg", "in/deep/c.jpg", "in/deep/d.png"):
        write_jpeg(tmp_path / name)

    def found(pattern: str) -> list[str]:
        return [each.path.name for each in sources.find([str(tmp_path / pattern)]).images]

    assert found("**/*.jpg") == ["a.jpg", "b.jpg", "c.jpg"] and found("*.jpg") == ["a.jpg"]
    assert found("*/*.jpg") == ["b.jpg"] and found("in/**/*.png") == ["d.png"]
