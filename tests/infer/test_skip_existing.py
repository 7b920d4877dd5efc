"""`infer --skip-existing` leaves out what is done: all files, of this model, newer than the image and the model."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import densecast, failed
from PIL import Image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in "abc":
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(np.full((16, 24, 3), 255, np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def run(model: Path, photos: Path, *more: str) -> tuple[set[str], set[str]]:
    """Stems of the images that were inferred, and of those that were skipped."""
    out, record = photos.parent / "out", photos.parent / "r.json"
    ended = densecast("infer", model, photos, "--out", out, "--skip-existing", "--json", record, "-q", *more)
    assert ended.code == 0, ended.err
    plain = json.loads(record.read_text(encoding="utf-8"))
    done, skipped = ({Path(each["image"]).stem for each in plain[key]} for key in ("results", "skipped"))
    if skipped:
        assert f"{len(skipped)} were there" in ended.out
    return done, skipped


def test_results_that_are_there_are_not_made_again(bright: Path, photos: Path) -> None:
    assert run(bright, photos) == ({"a", "b", "c"}, set())
    made = {path: path.stat().st_mtime_ns for path in (photos.parent / "out").glob("*.png")}
    (photos.parent / "out" / "b.png").unlink()
    assert run(bright, photos) == ({"b"}, {"a", "c"})
    again = {path: path.stat().st_mtime_ns for path in (photos.parent / "out").glob("*.png")}
    assert [path.stem for path in made if again[path] != made[path]] == ["b"]
    assert run(bright, photos) == (set(), {"a", "b", "c"})


def test_a_changed_image_and_one_that_lacks_a_file_are_inferred_again(bright: Path, photos: Path) -> None:
    run(bright, photos)
    Image.fromarray(np.zeros((16, 24, 3), np.uint8)).save(photos / "a.png")
    later = (photos.parent / "out" / "a.png").stat().st_mtime_ns + 10**9
    os.utime(photos / "a.png", ns=(later, later))
    assert run(bright, photos) == ({"a"}, {"b", "c"})
    assert not np.asarray(Image.open(photos.parent / "out" / "a.png")).any()
    os.utime(photos / "a.png", ns=(0, 0))
    assert run(bright, photos, "--overlay") == ({"a", "b", "c"}, set())
    assert run(bright, photos, "--overlay") == (set(), {"a", "b", "c"})


def test_a_clock_that_was_set_back_hides_no_change(bright: Path, photos: Path) -> None:
    """Results of the future: an image that changed afterwards, and a model that was built then, are older than they."""
    run(bright, photos)
    ahead = (photos / "a.png").stat().st_mtime_ns + 10**15
    for path in (photos.parent / "out").glob("*.png"):
        os.utime(path, ns=(ahead, ahead))
    assert run(bright, photos) == (set(), {"a", "b", "c"})
    Image.fromarray(np.zeros((16, 24, 3), np.uint8)).save(photos / "a.png")
    assert run(bright, photos) == ({"a"}, {"b", "c"})
    was = (bright / "manifest.json").stat().st_mtime_ns
    os.utime(bright / "manifest.json", ns=(1, 1))
    try:
        assert run(bright, photos) == ({"a", "b", "c"}, set())
    finally:
        os.utime(bright / "manifest.json", ns=(was, was))


def test_results_of_another_model_and_edited_ones_are_not_taken_for_done(bright: Path, photos: Path) -> None:
    run(bright, photos)
    other = photos.parent / "other"
    shutil.copytree(bright, other)
    out = photos.parent / "out"
    assert "earlier result of the model" in failed(2, "infer", other, photos, "--out", out, "--skip-existing", "-q")
    assert run(other, photos, "--overwrite") == ({"a", "b", "c"}, set())
    Image.fromarray(np.full((16, 24), 7, np.uint8)).save(out / "c.png")
    assert "did not write it" in failed(2, "infer", other, photos, "--out", out, "--skip-existing", "-q")


def test_a_model_that_was_built_anew_makes_everything_anew(bright: Path, photos: Path) -> None:
    own = photos.parent / "own"
    shutil.copytree(bright, own)
    run(own, photos)
    later = max(path.stat().st_mtime_ns for path in (photos.parent / "out").iterdir()) + 10**9
    os.utime(own / "manifest.json", ns=(later, later))
    assert run(own, photos) == ({"a", "b", "c"}, set())
