"""What is drawn is what was found, on a copy."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import seeded_people
import tiny_specs

from densecast.datasets import _coco_annotations
from densecast.errors import BadImageError
from densecast.tasks.pose import TASK, AnnotatedPoses, Poses, drawing
from densecast.tasks.pose.drawing import LEFT, MIDDLE, RIGHT, draw
from densecast.tasks.pose.people import entries


def person(**at):
    from densecast.tasks.pose.coco_person import JOINTS

    xy, score = np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.float32)
    for name, place in at.items():
        xy[0, JOINTS.index(name)], score[0, JOINTS.index(name)] = place, 0.9
    return Poses(xy, score, np.array([0.5], np.float32))


def colours(image):
    return {tuple(colour) for colour in image.reshape(-1, 3).tolist()}


GREY = np.full((600, 800, 3), 40, np.uint8)


@pytest.mark.parametrize(
    ("first", "second", "colour"),
    [
        ("left_hip", "left_knee", LEFT),
        ("right_hip", "right_knee", RIGHT),
        ("left_hip", "right_hip", MIDDLE),
        ("nose", "left_eye", LEFT),
    ],
)
def test_a_limb_has_the_colour_of_its_side(first, second, colour):
    drawn = draw(GREY, person(**{first: (100, 300.5), second: (700, 300.5)}))
    assert tuple(drawn[300, 400]) == colour


def test_joints_below_the_score_and_their_limbs_are_left_out():
    people = person(left_hip=(100, 300.5), left_knee=(700, 300.5))
    people.score[0, 13] = 0.29
    drawn = draw(GREY, people)
    assert tuple(drawn[300, 100]) == LEFT
    assert (drawn[:, 150:] == 40).all()
    np.testing.assert_array_equal(draw(GREY, people, min_score=0.95), GREY)


def test_lines_are_thicker_on_larger_images():
    widths = []
    for side in (400, 1600):
        image = np.zeros((side, side, 3), np.uint8)
        drawn = draw(image, person(left_hip=(side / 8, side / 2), left_knee=(side * 7 / 8, side / 2)))
        # Smoothed edges are lighter.
        widths.append((drawn[:, side // 2, 2] > LEFT[2] // 2).sum())
    assert widths[1] >= 2 * widths[0]


def test_the_image_is_not_drawn_on_and_nobody_changes_nothing():
    image = GREY.copy()
    draw(image, person(left_hip=(100, 300.5), left_knee=(700, 300.5)))
    np.testing.assert_array_equal(image, GREY)
    nobody = Poses(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32), np.zeros(0, np.float32))
    np.testing.assert_array_equal(draw(image, nobody), GREY)


def test_points_outside_the_image_do_no_harm():
    drawn = draw(GREY, person(left_hip=(-5000, 60), left_knee=(1e30, 60), left_ankle=(np.nan, 3)))
    assert drawn.shape == GREY.shape


@pytest.mark.parametrize("image", [GREY[..., 0], GREY.astype(np.float32), GREY[:0]])
def test_what_is_no_image_is_refused(image):
    with pytest.raises(BadImageError):
        draw(image, person(nose=(1, 1)))


def test_joints_other_than_cocos_are_drawn_in_one_colour_without_limbs():
    xy = np.array([[[100, 300.5], [700, 300.5], [400, 100]]], np.float32)
    drawn = draw(GREY, Poses(xy, np.ones((1, 3), np.float32), np.ones(1, np.float32)))
    assert all(tuple(drawn[int(y), int(x)]) == MIDDLE for x, y in xy[0])
    assert (drawn[300, 150:650] == 40).all()


def test_ground_truth_of_people_is_drawn_where_it_is_marked():
    document, _ = seeded_people.images()
    entry = document["images"][2]
    annotated = _coco_annotations.parse(document).people[entry["id"]]
    people = TASK.as_prediction(annotated)
    np.testing.assert_array_equal(people.score, annotated.visibility > 0)
    image = np.full((entry["height"], entry["width"], 3), 90, np.uint8)
    drawn = TASK.draw(image, people, tiny_specs.pose())
    assert drawn.shape == image.shape and (image == 90).all()
    marked = annotated.xy_px[annotated.visibility > 0].astype(int)
    inside = marked[(marked > 0).all(axis=1) & (marked < (entry["width"], entry["height"])).all(axis=1)]
    assert (drawn[inside[:, 1], inside[:, 0]] != 90).any(axis=1).all()
    nobody = AnnotatedPoses(1, *(getattr(annotated, field.name)[:0] for field in fields(annotated)[1:]))
    np.testing.assert_array_equal(TASK.draw(image, TASK.as_prediction(nobody), tiny_specs.pose()), image)


def test_a_file_of_people_has_every_joint_in_order_with_its_score(tmp_path: Path) -> None:
    xy = np.arange(2 * 17 * 2, dtype=np.float32).reshape(2, 17, 2) + 0.5
    score = np.linspace(0, 1, 34, dtype=np.float32).reshape(2, 17)
    path = drawing.save(tmp_path / "a", Poses(xy, score, np.array([0.25, 0.75], np.float32)))
    people = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == "a.json" and [person["score"] for person in people] == [0.25, 0.75]
    for person, places, scores in zip(people, xy, score, strict=True):
        expected = [[float(x), float(y), float(each)] for (x, y), each in zip(places, scores, strict=True)]
        assert person == {"keypoints": expected, "score": person["score"]}
    nobody = drawing.save(tmp_path / "b", Poses(xy[:0], score[:0], np.zeros(0, np.float32)))
    assert json.loads(nobody.read_text(encoding="utf-8")) == []


def test_a_legend_tells_the_sides_where_there_is_anybody_whose_joints_have_sides() -> None:
    def people(count: int, joints: int) -> Poses:
        shape = count, joints
        return Poses(np.zeros((*shape, 2), np.float32), np.ones(shape, np.float32), np.ones(count, np.float32))

    told = [(each.name, each.colour) for each in entries(people(1, 17))]
    assert told == [("left", LEFT), ("right", RIGHT), ("middle", MIDDLE)]
    # Nobody; and joints that no skeleton is known of.
    assert entries(people(0, 17)) == entries(people(1, 3)) == []
