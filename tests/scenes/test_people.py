"""People come out equal for equal numbers, and their points lie where, and are seen as, the picture shows."""

import cv2
import numpy as np
import pytest

from densecast.scenes import people
from densecast.scenes.camera import Camera
from densecast.scenes.people import draw
from densecast.scenes.people.body import Build, coco_points, stand
from densecast.scenes.people.depth_canvas import FINE, DepthCanvas, Lamp
from densecast.scenes.people.outfit import Outfit, sample_outfit
from densecast.scenes.people.pose import Pose, sample_pose
from densecast.tasks.pose.coco_person import JOINTS, MIRRORED

SIZE_HW = (240, 160)
CAMERA = Camera(distance_m=4.0, height_m=1.0, pitch_rad=0.0, focal_px=420.0, centre_px=(80.0, 125.0))
BUILD = Build(stature_m=1.75, girth=1.1, broad=1.0, head=1.0)
UPRIGHT = Pose(
    kind="standing",
    lean=(0.0, 0.0),
    twist=0.0,
    head=(0.0, 0.0, 0.0),
    hip_flexion=(0.0, 0.0),
    hip_abduction=(0.1, 0.1),
    knee=(0.0, 0.0),
    shoulder_flexion=(0.0, 0.0),
    shoulder_abduction=(0.4, 0.4),
    elbow=(0.1, 0.1),
    elbow_inwards=(0.0, 0.0),
)
FACE = slice(0, 3)  # nose and eyes
JOINT = {name: place for place, name in enumerate(JOINTS)}


def canvas() -> DepthCanvas:
    grey = np.full(3, 0.5, dtype=np.float32)
    return DepthCanvas(SIZE_HW, CAMERA, Lamp(np.array([0, 0.6, -0.8], dtype=np.float32), grey, grey))


def outfit(seed: int = 0) -> Outfit:
    return sample_outfit(np.random.default_rng(seed))


def seen(facing_rad: float) -> np.ndarray:
    """(17,) which points of a lone, upright person are in sight."""
    body = stand(BUILD, UPRIGHT, (0.0, 0.0), facing_rad)
    drawn = canvas()
    draw.draw(drawn, body, outfit(), 1)
    return drawn.is_seen(coco_points(body), draw.slack_m(body))


@pytest.fixture(scope="module")
def scenes() -> list[people.Scene]:
    return [people.render(11, index) for index in range(16)]


@pytest.mark.slow
def test_equal_numbers_give_equal_pictures_in_any_order(scenes: list[people.Scene]) -> None:
    for index in (7, 0):
        again = people.render(11, index)
        np.testing.assert_array_equal(again.image, scenes[index].image)
        for left, right in zip(again.people, scenes[index].people, strict=True):
            np.testing.assert_array_equal(left.xy_px, right.xy_px)
            np.testing.assert_array_equal(left.visibility, right.visibility)
            np.testing.assert_array_equal(left.mask, right.mask)
    other_world = people.render(12, 0).image
    assert other_world.shape != scenes[0].image.shape or (other_world != scenes[0].image).any()


@pytest.mark.slow
def test_pictures_are_of_several_shapes_with_one_to_six_people(scenes: list[people.Scene]) -> None:
    shapes = {scene.image.shape[:2] for scene in scenes}
    assert any(h > w for h, w in shapes) and any(h < w for h, w in shapes) and any(h == w for h, w in shapes)
    assert all(scene.image.dtype == np.uint8 and scene.image.shape[2] == 3 for scene in scenes)
    counts = {len(scene.people) for scene in scenes}
    assert counts <= set(range(7)) and len(counts) >= 4


@pytest.mark.slow
def test_labelled_points_lie_in_the_picture_and_others_are_zero(scenes: list[people.Scene]) -> None:
    for scene in scenes:
        size_xy = np.array(scene.image.shape[1::-1])
        for person in scene.people:
            labelled = person.visibility > 0
            assert ((person.xy_px[labelled] >= 0) & (person.xy_px[labelled] < size_xy)).all()
            assert (person.xy_px[~labelled] == 0).all()
            assert (person.visibility == 2).any()


@pytest.mark.slow
def test_no_pixel_belongs_to_two_people(scenes: list[people.Scene]) -> None:
    for scene in scenes:
        # A half-and-half edge pixel may be both's: `mask` wants at least half of it.
        owners = sum(person.mask.astype(int) for person in scene.people)
        assert np.mean(np.asarray(owners) > 1) < 0.005


@pytest.mark.slow
def test_points_in_sight_lie_on_their_person(scenes: list[people.Scene]) -> None:
    off_px = []
    for scene in scenes:
        for person in scene.people:
            away_px = cv2.distanceTransform((~person.mask).astype(np.uint8), cv2.DIST_L2, 3)
            off_px += [away_px[int(y), int(x)] for x, y in person.xy_px[person.visibility == 2]]
    # Masks lack pixels that are less than half covered, such as thin wrists and noses in profile.
    assert np.mean(np.array(off_px) > 1) < 0.01
    assert max(off_px) < 4


def test_left_is_to_the_images_right_when_facing_the_camera() -> None:
    for facing_rad, sign in ((0.0, 1), (np.pi, -1)):
        points = coco_points(stand(BUILD, UPRIGHT, (0.0, 0.0), facing_rad))
        xy, _ = CAMERA.project(points)
        for place, other in enumerate(MIRRORED):
            if JOINTS[place].startswith("left"):
                assert sign * (xy[place, 0] - xy[other, 0]) > 1


def test_the_face_looks_where_the_body_faces() -> None:
    quarter = stand(BUILD, UPRIGHT, (0.0, 0.0), np.pi / 2)
    assert quarter.nose[0] > quarter.head[0] + 0.05  # to the image's right
    assert stand(BUILD, UPRIGHT, (0.0, 0.0), 0.0).nose[1] < -0.05  # to the camera


def test_everything_is_in_sight_from_the_front_and_the_face_is_not_from_behind() -> None:
    assert seen(0.0).all()
    behind = seen(np.pi)
    assert not behind[FACE].any()
    assert behind[5:].all()


def test_from_the_side_the_far_side_is_hidden() -> None:
    # Facing the image's right, the right side is near.
    side = seen(np.pi / 2)
    for part in ("eye", "ear", "shoulder", "knee"):
        assert side[JOINT[f"right_{part}"]]
        assert not side[JOINT[f"left_{part}"]]


def test_the_nearer_person_hides_the_farther_in_either_order_of_drawing() -> None:
    near = stand(BUILD, UPRIGHT, (0.0, -0.5), 0.0)
    far = stand(BUILD, UPRIGHT, (0.0, 1.5), 0.0)
    results = []
    for order in ((1, 2), (2, 1)):
        drawn = canvas()
        for owner in order:
            draw.draw(drawn, near if owner == 1 else far, outfit(owner), owner)
        results.append(drawn)
    np.testing.assert_array_equal(results[0].owner, results[1].owner)
    np.testing.assert_array_equal(results[0].colour, results[1].colour)
    for drawn in results:
        assert drawn.is_seen(coco_points(near), draw.slack_m(near)).all()
        hidden = ~drawn.is_seen(coco_points(far), draw.slack_m(far))
        assert hidden[[JOINT["left_shoulder"], JOINT["right_shoulder"], JOINT["left_hip"], JOINT["right_hip"]]].all()


def test_limbs_have_the_lengths_of_the_published_table_in_every_pose() -> None:
    # Winter, table of Drillis and Contini: shares of the stature.
    shares = {("shoulder", "elbow"): 0.186, ("elbow", "wrist"): 0.146, ("hip", "knee"): 0.245, ("knee", "ankle"): 0.246}
    rng = np.random.default_rng(3)
    for _ in range(100):
        body = stand(BUILD, sample_pose(rng), (0.3, 0.2), float(rng.uniform(-3, 3)))
        points = coco_points(body)
        for (start, end), share in shares.items():
            for side in ("left", "right"):
                length = np.linalg.norm(points[JOINT[f"{side}_{start}"]] - points[JOINT[f"{side}_{end}"]])
                # float32 metres of a body some two metres from the origin
                assert length == pytest.approx(share * BUILD.stature_m, abs=1e-5)


def test_nobody_stands_below_the_ground_or_above_it() -> None:
    rng = np.random.default_rng(4)
    for _ in range(100):
        body = stand(BUILD, sample_pose(rng), (0.0, 0.0), 0.0)
        lowest = min(body.ankles[:, 2].min(), body.toes[:, 2].min())
        assert 0 < lowest < 0.05 * BUILD.stature_m + 0.001
        assert abs(body.pelvis[:2]).max() < 1e-6


def test_antialiased_cover_equals_the_share_of_fine_samples() -> None:
    drawn = canvas()
    draw.draw(drawn, stand(BUILD, UPRIGHT, (0.0, 0.0), 0.0), outfit(), 1)
    white = drawn.over(np.ones((*SIZE_HW, 3), dtype=np.float32))
    black = drawn.over(np.zeros((*SIZE_HW, 3), dtype=np.float32))
    fine = cv2.resize((drawn.owner > 0).astype(np.float32), SIZE_HW[::-1], interpolation=cv2.INTER_AREA)
    assert drawn.owner.shape == (SIZE_HW[0] * FINE, SIZE_HW[1] * FINE)
    # What is drawn is added to what shines through: one float32 rounding each.
    np.testing.assert_allclose((white - black)[..., 0], 1 - fine, atol=1e-6)
