"""People in tiles: everybody is found once, whole where a tile shows them whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_specs
from PIL import Image

from densecast.imaging.strips import Strips, png
from densecast.spec.augment import Augment
from densecast.spec.tiles import Grid
from densecast.tasks.pose import TASK, Poses
from densecast.verbs.large import LargePeople, people

JOINTS = 17


def crowd(count: int, size: int, seed: int) -> np.ndarray:
    """(count, 17, 2) joints of people about 60 pixels high, on a grid with some disorder."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count)))
    body = np.stack([rng.uniform(-15, 15, JOINTS), np.linspace(-30, 30, JOINTS)], -1)
    centres = [
        (40 + (size - 80) * (k % side) / (side - 1), 40 + (size - 80) * (k // side) / (side - 1)) for k in range(count)
    ]
    return np.round(body + np.asarray(centres)[:, None] + rng.uniform(-5, 5, (count, 1, 2)))


def drawn(people_xy: np.ndarray, size: int) -> np.ndarray:
    """A black picture with a dot a joint: red is the person, green the joint."""
    image = np.zeros((size, size, 3), np.uint8)
    for person, joints in enumerate(people_xy, start=1):
        for joint, (x, y) in enumerate(joints, start=1):
            image[int(y), int(x)] = person, joint, 255
    return image


class Finder:
    """Finds the dots of a tile; joints that it does not show are put at its middle, unsure."""

    def __call__(self, tile: np.ndarray) -> Poses:
        found = []
        for person in sorted({*tile[:, :, 0].ravel().tolist()} - {0}):
            xy, score = np.full((JOINTS, 2), tile.shape[0] / 2), np.full(JOINTS, 0.05)
            for y, x in np.argwhere(tile[:, :, 0] == person):
                joint = tile[y, x, 1] - 1
                xy[joint], score[joint] = (x + 0.4, y - 0.3), 0.9
            found.append((xy, score))
        xy = np.asarray([each for each, _ in found], np.float32).reshape(-1, JOINTS, 2)
        score = np.asarray([each for _, each in found], np.float32).reshape(-1, JOINTS)
        return Poses(xy, score, score.mean(axis=1) if len(score) else np.zeros(0, np.float32))


def strips(image: np.ndarray, folder: Path) -> Strips:
    Image.fromarray(image).save(folder / "crowd.png")
    return png.open_png(folder / "crowd.png")


def test_everybody_in_overlapping_tiles_is_found_once_and_whole(tmp_path: Path) -> None:
    size = 700
    truth = crowd(49, size, seed=4)
    grid = Grid(256, 128, 1, 1, True)
    steps: list[int] = []
    with strips(drawn(truth, size), tmp_path) as picture:
        found = people.people(Finder(), picture, (grid, grid), lambda: steps.append(1))  # type: ignore[arg-type]
    assert len(steps) == len(grid.tiles(size)) ** 2 > 9
    assert len(found) == 49
    apart = np.abs(found.xy_px[:, None] - truth[None]).max(axis=(2, 3))
    assert sorted(apart.argmin(axis=1)) == list(range(49)) and apart.min(axis=1).max() < 1


def test_two_people_who_stand_close_stay_two() -> None:
    body = crowd(4, 300, seed=1)[0].astype(np.float32)
    score, person = np.ones((1, JOINTS), np.float32), np.ones(1, np.float32)
    one, other = Poses(body[None], score, person), Poses(body[None] + np.float32(12), score, person)
    both = Poses(np.stack([body, body + np.float32(12)]), np.ones((2, JOINTS), np.float32), np.ones(2, np.float32))
    cut = np.zeros(1, bool)
    assert len(people.merged([people.Seen(one, cut, 0), people.Seen(other, cut, 1)])) == 2
    assert len(people.merged([people.Seen(both, np.zeros(2, bool), 0), people.Seen(both, np.zeros(2, bool), 1)])) == 2
    nobody = Poses(np.zeros((0, JOINTS, 2), np.float32), np.zeros((0, JOINTS), np.float32), np.zeros(0, np.float32))
    assert len(people.merged([people.Seen(nobody, np.zeros(0, bool), 0)])) == 0


@pytest.mark.parametrize(("score", "taken"), [(0.9, 1), (0.05, 0)], ids=["seen at the edge", "guessed at the edge"])
def test_a_person_cut_off_by_a_tile_is_taken_from_the_next_one_and_a_guessed_joint_cuts_nobody(
    score: float, taken: int, tmp_path: Path
) -> None:
    # Tiles of 100 pixels begin at 0 and 50; the first one likes its person better, of whom one joint lies at its edge.
    body = np.stack([np.linspace(60, 90, JOINTS), np.linspace(20, 80, JOINTS)], -1)
    body[0] = 99.5, 50
    scores = np.full((1, JOINTS), 0.9, np.float32)
    scores[0, 0] = score
    versions = [np.asarray(body[None] + shift, np.float32) for shift in ((0, 0), (0, 1))]
    found: Any = iter(
        Poses(version - np.float32([start, 0]), scores, np.asarray([sure], np.float32))
        for version, start, sure in zip(versions, (0, 50), (0.9, 0.5), strict=True)
    )
    grids = Grid(100, 50, 1, 1, True), Grid(100, 50, 1, 1, True)
    with strips(np.zeros((100, 150, 3), np.uint8), tmp_path) as picture:
        one = people.people(lambda tile: next(found), picture, grids, lambda: None)
    np.testing.assert_allclose(one.xy_px, versions[taken], atol=1e-4)


class Nobody:
    """A pipeline of a model of people that finds none."""

    spec, augment, task = tiny_specs.pose(), Augment(), TASK

    def __call__(self, tile: np.ndarray) -> Poses:
        return Poses(np.zeros((0, JOINTS, 2), np.float32), np.zeros((0, JOINTS), np.float32), np.zeros(0, np.float32))


def test_what_tiles_share_is_told_of_the_side_that_shares_less(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 130, 3), np.uint8)).save(tmp_path / "a.png")
    pipeline: Any = Nobody()
    found = LargePeople(pipeline, tile_hw=(16, 64), overlap_px=20)
    _, record = found.find(tmp_path / "a.png", tmp_path / "a")
    # Tiles of 16 rows share 15 at most, those of 64 columns the 20 that were asked for: 25 rows of them, and 3 columns.
    assert (record.how, record.tile_hw, record.overlap_px, record.tiles) == ("people", (16, 64), 15, 25 * 3)


@pytest.mark.parametrize(("apart", "people_left"), [(0.0, 1), (60.0, 2)])
def test_people_of_one_shown_joint_are_the_same_where_it_is(apart: float, people_left: int) -> None:
    xy = np.full((1, JOINTS, 2), 50.0, np.float32)
    score = np.zeros((1, JOINTS), np.float32)
    score[0, 5] = 1
    cut, sure = np.zeros(1, bool), np.ones(1, np.float32)
    # Boxes of one point meet where they are equal; a second joint gives them a side.
    score[0, 6], xy[0, 6] = (1, (50.0, 54.0)) if apart else (0, (50.0, 50.0))
    one, other = Poses(xy, score, sure), Poses(xy + np.float32(apart), score, sure)
    assert len(people.merged([people.Seen(one, cut, 0), people.Seen(other, cut, 1)])) == people_left
    assert len(people.merged([people.Seen(one, cut, 0), people.Seen(other, cut, 0)])) == 2
