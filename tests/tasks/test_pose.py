"""People come out as MMPose 0.29.0 gives them: the same ones, in the same order, bit for bit."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_specs
from pose_scenes import SCENES, Scene, draw

from densecast.errors import BadConfigError, BadInputError, BadShapeError
from densecast.spec.pose_geometry import PosePlacement
from densecast.spec.preprocess import Native, PoseAffine, Preprocess
from densecast.tasks.pose import TASK, AnnotatedPoses, PoseDecode, PoseTask
from densecast.tasks.pose.coco_person import MIRRORED
from densecast.tasks.pose.postprocess import decode

GOLDEN = Path(__file__).parents[1] / "golden" / "pose_scenes.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as stored:
        return dict(stored)


def placement(scene: Scene) -> PosePlacement:
    height, width = scene.image_hw
    return PosePlacement(
        scene.image_hw, scene.model_hw, (round(width / 2), round(height / 2)), (width / 200, height / 200)
    )


def people_of(scene: Scene, maps):
    return decode(maps, placement(scene), PoseDecode(**scene.options), scene.scales)


@pytest.mark.parametrize("name", SCENES)
def test_people_are_the_originals(golden, name):
    scene = SCENES[name]
    maps = draw(scene)
    digest = hashlib.sha256(b"".join(array.tobytes() for array in maps)).hexdigest()[:16]
    assert digest == str(golden[f"{name}.maps"]), "this machine draws other maps than those the results are of"
    people = people_of(scene, maps)
    np.testing.assert_array_equal(people.person_score, golden[f"{name}.person_score"])
    np.testing.assert_array_equal(people.score, golden[f"{name}.score"])
    np.testing.assert_array_equal(people.xy_px, golden[f"{name}.xy_px"])


RANDOM = {
    "plain": Scene(0),
    "crowd": Scene(0, people=18, map_hw=(48, 64), tag_step=0.6, tag_jitter=0.3),
    "noise": Scene(0, people=3, noise=0.4),
    "coarse": Scene(0, people=6, levels=6, noise=0.2, margin=-0.1),
    "no flip": Scene(0, people=6, noise=0.2, options={"flip": False}),
    "two scales": Scene(0, people=3, scales=(1.0, 0.5), noise=0.1),
    "unprojected": Scene(0, people=5, options={"project_to_image": False}),
    "one tag map": Scene(0, people=4, options={"tag_per_joint": False}),
    "times two": Scene(0, people=5, map_hw=(48, 64), target_hw=(96, 128)),
    "times eight": Scene(0, people=3, map_hw=(20, 32), target_hw=(160, 256)),
    "odd": Scene(0, people=4, map_hw=(40, 48), target_hw=(123, 170)),
}


@pytest.mark.torch
@pytest.mark.parametrize("seed", [100, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (101, 102, 103))])
@pytest.mark.parametrize("kind", RANDOM)
def test_people_are_those_of_the_plain_definition(kind, seed):
    pytest.importorskip("torch")
    import plain_pose

    scene = replace(RANDOM[kind], seed=seed)
    maps = draw(scene)
    if not scene.options.get("tag_per_joint", True):
        maps = [array[:, :18] for array in maps]
    options = PoseDecode(**scene.options)
    wanted, wanted_score = plain_pose.decode(maps, scene.model_hw, options, scene.scales)
    people = decode(maps, placement(scene), options, scene.scales)
    map_hw = scene.model_hw if options.project_to_image else maps[0].shape[2:]
    np.testing.assert_array_equal(people.score, wanted[..., 2])
    np.testing.assert_array_equal(people.xy_px, placement(scene).to_image(wanted[..., :2], map_hw))
    np.testing.assert_array_equal(people.person_score, wanted_score)


def test_one_person_comes_back_where_it_was_put():
    maps = np.zeros((2, 34, 32, 48), np.float32)
    places = np.array([(4 + 2 * joint, 25 - joint) for joint in range(17)])
    for joint, (x, y) in enumerate(places):
        maps[0, joint, y, x] = 0.9
        maps[1, MIRRORED[joint], y, 47 - x] = 0.9
    people = decode([maps], PosePlacement((128, 192), (128, 192), (96, 64), (192 / 200, 128 / 200)))
    assert len(people) == 1
    # A joint is found in whole pixels, and then moved by a quarter.
    assert np.abs(people.xy_px[0] - (places * 4 + 2)).max() <= 0.75 + 1e-4
    assert (people.score > 0.6).all()


def test_layout_and_order_of_scales_do_not_matter():
    scene = SCENES["three_scales"]
    maps = draw(scene)
    expected = people_of(scene, maps)
    last_first = [np.asfortranarray(array) for array in maps[::-1]]
    found = decode(last_first, placement(scene), PoseDecode(), scene.scales[::-1])
    np.testing.assert_array_equal(found.xy_px, expected.xy_px)


def test_maps_are_not_written_to():
    maps = draw(SCENES["one"])
    before = maps[0].copy()
    maps[0].setflags(write=False)
    people_of(SCENES["one"], maps)
    np.testing.assert_array_equal(maps[0], before)


def good_maps():
    return np.zeros((2, 34, 16, 24), np.float32)


@pytest.mark.parametrize(
    ("maps", "scales"),
    [
        ([], ()),
        ([good_maps()], (1.0, 2.0)),
        ([good_maps()[:1]], (1.0,)),
        ([good_maps()[:, :18]], (1.0,)),
        ([good_maps()[0]], (1.0,)),
        ([good_maps().astype(np.float64)], (1.0,)),
        ([good_maps()[:, :, :0]], (1.0,)),
        ([good_maps(), good_maps()], (0.5, 2.0)),
    ],
)
def test_maps_of_another_shape_are_refused(maps, scales):
    with pytest.raises(BadShapeError):
        decode(maps, PosePlacement((64, 96), (64, 96), (48, 32), (0.48, 0.32)), PoseDecode(), scales)


@pytest.mark.parametrize("channel", [0, 16, 17, 33])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_maps_that_are_not_finite_are_refused(channel, bad):
    maps = good_maps()
    maps[1, channel, 3, 5] = bad
    with pytest.raises(BadInputError, match="finite"):
        decode([maps], PosePlacement((64, 96), (64, 96), (48, 32), (0.48, 0.32)))


@pytest.mark.parametrize("options", [{"nms_kernel": 4}, {"max_people": 0}, {"detection_threshold": -0.1}])
def test_options_that_cannot_work_are_refused(options):
    with pytest.raises(BadConfigError):
        PoseDecode(**options)


def annotated(xy_px):
    count = len(xy_px)
    boxes = np.concatenate([xy_px.min(axis=1), np.ptp(xy_px, axis=1)], axis=1)
    return AnnotatedPoses(
        1,
        xy_px,
        np.full(xy_px.shape[:2], 2, np.uint8),
        np.ptp(xy_px, axis=1).prod(axis=1),
        boxes,
        np.zeros(count, bool),
    )


def test_ground_truth_in_the_networks_frame_is_where_predictions_lie_there():
    where = PoseAffine(64, 32).place((100, 170))
    target = annotated(np.random.default_rng(0).uniform(0, 100, (3, 17, 2)))
    assert TASK.target_at(target, where, "image") is target
    moved = TASK.target_at(target, where, "network")
    np.testing.assert_allclose(moved.xy_px, where.to_model(target.xy_px))
    again = annotated(moved.xy_px)
    np.testing.assert_allclose(moved.box_xywh_px, again.box_xywh_px)
    np.testing.assert_allclose(moved.area_px, again.area_px)


def test_a_task_of_other_joints_promises_and_takes_as_many():
    class Hands(PoseTask):
        joints = 21

    spec = tiny_specs.pose()
    hands = Hands()
    assert hands.output_channels(spec) == 42 and TASK.output_channels(spec) == 34
    assert hands.output_channels(replace(spec, decode=PoseDecode(tag_per_joint=False))) == 22
    people = hands.as_prediction(annotated(np.random.default_rng(0).uniform(0, 100, (2, 21, 2))))
    for promised in hands.tensor_specs(spec):
        promised.check(hands.tensors(people)[promised.name])
    assert hands.difference(people, people).value == 0
    assert (hands.draw(np.zeros((100, 100, 3), np.uint8), people, spec) > 0).any()


def test_other_preprocessing_is_refused_where_the_spec_is_checked():
    spec = tiny_specs.pose()
    TASK.check(spec)
    with pytest.raises(BadConfigError, match="'pose_affine', not 'native'"):
        TASK.check(replace(spec, preprocess=Preprocess(Native())))


def test_of_annotated_people_hidden_joints_are_there_and_unmarked_ones_not():
    visibility = np.zeros((1, 17), np.uint8)
    visibility[0, :3] = 0, 1, 2
    target = AnnotatedPoses(1, np.ones((1, 17, 2)), visibility, np.ones(1), np.ones((1, 4)), np.zeros(1, np.bool_))
    assert TASK.as_prediction(target).score[0, :3].tolist() == [0, 1, 1]
