"""Several outputs, aligned corners, unbiased places, other joints: people are those of the plain definition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import plain_pose  # noqa: E402
import tiny_specs  # noqa: E402
from pose_scenes import Scene, draw  # noqa: E402

from densecast.errors import BadConfigError, BadShapeError  # noqa: E402
from densecast.spec import pose_geometry  # noqa: E402
from densecast.spec.augment import View  # noqa: E402
from densecast.spec.pose_unbiased import place  # noqa: E402
from densecast.spec.preprocess import PoseAffine, Preprocess  # noqa: E402
from densecast.spec.tensor import Dim, TensorSpec  # noqa: E402
from densecast.tasks.pose import TASK, PoseDecode  # noqa: E402
from densecast.tasks.pose.known_skeletons import COCO_WHOLE_BODY, CROWDPOSE, SKELETONS  # noqa: E402
from densecast.tasks.pose.postprocess import decode  # noqa: E402
from densecast.tasks.pose.skeleton import COCO, Skeleton  # noqa: E402

pytestmark = pytest.mark.torch


def two_outputs(seed: int, joints: int = 17, channels: tuple[int, int] = (34, 17)) -> list[np.ndarray]:
    """Maps of one scene at a quarter and at half of the input, cut to the first joints."""
    made = []
    for zoom, count in zip((1, 2), channels, strict=True):
        scene = Scene(seed, people=4, map_hw=(40 * zoom, 56 * zoom), radius=3.5 * zoom, missing=0.3)
        (maps,) = draw(scene)
        kept = [*range(joints), *range(17, 17 + count - joints)]
        made.append(np.ascontiguousarray(maps[:, kept]))
    return made


CASES = {
    "two outputs": PoseDecode(),
    "two outputs at their own size": PoseDecode(project_to_image=False),
    "corners": PoseDecode(align_corners=True),
    "unbiased": PoseDecode(unbiased=True, align_corners=True, project_to_image=False),
    "unbiased, at the input's size": PoseDecode(unbiased=True, align_corners=True),
    "unbiased, not moved": PoseDecode(unbiased=True, adjust=False, project_to_image=False),
    "unmirrored": PoseDecode(flip=False, unbiased=True, align_corners=True),
    "tags in the second": PoseDecode(tags_output=1),
}
MODEL_HW = (160, 224)


@pytest.mark.parametrize("name", CASES)
def test_people_are_those_of_the_plain_definition(name: str) -> None:
    options = CASES[name]
    outputs = two_outputs(41, channels=(17, 34) if options.tags_output else (34, 17))
    placement = place((120, 168), 160, 32)
    assert placement.model_hw == MODEL_HW
    wanted, scores = plain_pose.decode([outputs], MODEL_HW, options)
    found = decode([outputs], placement, options)
    map_hw = MODEL_HW if options.project_to_image else outputs[-1].shape[2:]
    assert len(found) == len(wanted) > 2
    np.testing.assert_array_equal(found.score, wanted[..., 2])
    np.testing.assert_array_equal(found.person_score, scores)
    # The inverse of a 2x2 matrix is computed by another formula there.
    np.testing.assert_allclose(found.xy_px, placement.to_image(wanted[..., :2], map_hw), rtol=2e-5, atol=2e-4)


def test_fourteen_joints_are_matched_in_their_own_order_and_mirrored_by_their_own_pairs() -> None:
    options = PoseDecode(skeleton=CROWDPOSE, project_to_image=False)
    random = np.random.default_rng(3)
    places = random.integers(4, 36, (14, 2))
    maps = np.zeros((2, 28, 40, 56), np.float32)
    for joint, (y, x) in enumerate(places):
        maps[0, joint, y, x] = 0.9
        maps[1, CROWDPOSE.mirrored[joint], y, 55 - x] = 0.9
    placement = place((120, 168), 160, 32)
    found = decode([maps], placement, options)
    assert len(found) == 1 and (found.score[0] > 0.8).all()
    wanted, _ = plain_pose.decode([maps], MODEL_HW, options)
    np.testing.assert_allclose(found.xy_px, placement.to_image(wanted[..., :2], (40, 56)), rtol=1e-6)


def test_an_unbiased_input_has_the_size_of_the_other_where_nothing_is_said() -> None:
    for image_hw in ((480, 640), (900, 700)):
        assert place(image_hw).model_hw == pose_geometry.place(image_hw).model_hw


def test_an_unbiased_image_lands_with_its_first_and_last_pixels_on_those_of_the_input() -> None:
    for image_hw in ((120, 160), (97, 131), (131, 97)):
        found = place(image_hw, 128, 32)
        short, model_short = min(image_hw), min(found.model_hw)
        ends = found.placement.to_model(np.array([[0.0, 0.0], [short - 1.0, short - 1.0]]))
        axis = 0 if image_hw[1] < image_hw[0] else 1
        np.testing.assert_allclose(ends[:, axis], [0, model_short - 1], atol=1e-9)
        back = found.to_image(np.array([[model_short - 1, model_short - 1]], np.float32), found.model_hw)
        np.testing.assert_allclose(back[0, axis], short - 1, rtol=1e-5)


def test_a_model_of_two_outputs_predicts_from_both() -> None:
    spec = tiny_specs.pose()
    outputs = two_outputs(43)
    described = [TensorSpec(f"maps_{index}", "float32", (1, len(each[0]), Dim("h", 1, 512), Dim("w", 1, 512)))
                 for index, each in enumerate(outputs)]  # fmt: skip
    resize = PoseAffine(160, 32)
    spec = replace(spec, outputs=tuple(described), preprocess=Preprocess(resize), decode=PoseDecode())
    TASK.check(spec)
    assert TASK.output_channels(spec) == 34
    where = resize.place((120, 168))
    feeds = [{f"maps_{index}": each[view] for index, each in enumerate(outputs)} for view in (0, 1)]
    people = TASK.postprocess(feeds, [View(where), View(where, mirrored=True)], spec)
    expected = decode([outputs], resize.geometry((120, 168)), PoseDecode())
    np.testing.assert_array_equal(people.xy_px, expected.xy_px)
    assert len(people) > 2


def test_places_of_another_kind_than_the_resize_are_refused() -> None:
    spec = replace(tiny_specs.pose(), decode=PoseDecode(unbiased=True))
    with pytest.raises(BadConfigError, match="unbiased is False for the resize and True for decoding"):
        TASK.check(spec)
    with pytest.raises(BadConfigError, match="output 1, counted from 0, but there are 1"):
        TASK.check(replace(tiny_specs.pose(), decode=PoseDecode(tags_output=1)))
    with pytest.raises(BadShapeError, match="tags are in output 1"):
        decode([np.zeros((2, 34, 16, 24), np.float32)], place((64, 96)), PoseDecode(tags_output=1))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mirrored": (1, 2, 0)}, "leads back"),
        ({"mirrored": (0, 1)}, "leads back"),
        ({"sigmas": (0.1,)}, "sigma"),
        ({"sigmas": (0.1, 0.1, 0.0)}, "sigma"),
        ({"limbs": ((0, 3),)}, "limbs"),
        ({"joints": ("a", "a", "b")}, "names of their own"),
    ],
)
def test_skeletons_whose_parts_do_not_belong_together_are_refused(changes: dict[str, object], reason: str) -> None:
    good: dict[str, object] = {"joints": ("a", "b", "c"), "mirrored": (1, 0, 2), "limbs": (), "sigmas": ()}
    Skeleton(**good)  # type: ignore[arg-type]
    with pytest.raises(BadConfigError, match=reason):
        Skeleton(**{**good, **changes})  # type: ignore[arg-type]


def test_left_and_right_are_counterparts_in_every_known_skeleton() -> None:
    assert {name: len(each.joints) for name, each in SKELETONS.items()} == {
        "coco": 17, "crowdpose": 14, "aic": 14, "mhp": 16, "coco_wholebody": 133,
    }  # fmt: skip
    for each in SKELETONS.values():
        for name, other in zip(each.joints, each.mirrored, strict=True):
            if "left" in name or "right" in name:
                assert {name, each.joints[other]} == {name.replace("right", "left"), name.replace("left", "right")}
    assert COCO_WHOLE_BODY.joints[:17] == COCO.joints and COCO_WHOLE_BODY.sigmas[:17] == COCO.sigmas
    # The chin is its own counterpart, and the corners of the jaw are each other's.
    assert COCO_WHOLE_BODY.mirrored[31] == 31 and COCO_WHOLE_BODY.mirrored[23] == 39


def test_people_know_the_joints_of_the_model_that_found_them() -> None:
    from densecast.tasks._prediction import Origin
    from densecast.tasks.pose import Poses

    spec = replace(tiny_specs.pose(), decode=PoseDecode(skeleton=CROWDPOSE))
    xy = np.random.default_rng(0).uniform(10, 90, (2, 14, 2)).astype(np.float32)
    made = Poses(xy, np.ones((2, 14), np.float32), np.ones(2, np.float32))
    assert made.skeleton is None and made.to_dict()["joints"][0] == "0"
    known = replace(made, origin=Origin(spec))
    assert known.skeleton == CROWDPOSE and known.to_dict()["joints"][12:] == ["top_head", "neck"]
    canvas = np.zeros((100, 100, 3), np.uint8)
    assert (TASK.draw(canvas, known, spec) > 0).sum() > (TASK.draw(canvas, known, tiny_specs.pose()) > 0).sum()
    # A step of one joint counts by that joint's own sigma.
    moved = xy.copy()
    moved[0, 6, 0] += 20
    area = np.ptp(xy[0], axis=0).prod()
    share = np.exp(-(20**2) / (2 * area * (2 * CROWDPOSE.sigmas[6]) ** 2))
    found = TASK.difference(known, replace(known, xy_px=moved))
    np.testing.assert_allclose(found.reported, 1 - (1 - share) / 28, rtol=1e-5)


def test_a_spec_file_names_the_joints_of_a_graph_of_ones_own(tmp_path: Path) -> None:
    from densecast.verbs.export import spec_file

    text = """
        task = "pose"
        labels = ["person"]
        preprocess.resize = { kind = "pose_affine", short_side = 64, unbiased = true }
        decode.unbiased = true
        decode.skeleton = { joints = ["a", "left_b", "right_b"], mirrored = [0, 2, 1], limbs = [[0, 1]] }
    """
    (tmp_path / "spec.toml").write_text(text, encoding="utf-8")
    spec = spec_file.read(tmp_path / "spec.toml").model("x")
    assert spec.output.shape[1] == 6
    assert isinstance(spec.decode, PoseDecode) and spec.decode.skeleton is not None
    assert spec.decode.skeleton.limbs == ((0, 1),)
    (tmp_path / "spec.toml").write_text(text.replace("[0, 2, 1]", "[0, 2, 2]"), encoding="utf-8")
    with pytest.raises(BadConfigError, match="mirror image, which leads back to it"):
        spec_file.read(tmp_path / "spec.toml")
