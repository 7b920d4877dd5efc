"""Joints, limbs and sigmas are those that the data sets publish: similarities and AP rest on them."""

from __future__ import annotations

import pytest

from densecast.tasks.pose.known_skeletons import AI_CHALLENGER, COCO_WHOLE_BODY, CROWDPOSE, MHP, SKELETONS
from densecast.tasks.pose.skeleton import COCO, Skeleton

# Sides are left out where both have the same: `elbow` is the left and the right one's.
SIGMAS = {
    "coco": "nose .026 eye .025 ear .035 shoulder .079 elbow .072 wrist .062 hip .107 knee .087 ankle .089",
    "crowdpose": "shoulder .079 elbow .072 wrist .062 hip .107 knee .087 ankle .089 top_head .079 neck .079",
    "mhp": (
        "ankle .089 knee .083 hip .107 pelvis .026 thorax .026 upper_neck .026 head_top .026 wrist .062 elbow .072 "
        "shoulder .179"
    ),
    "aic": (
        "right_shoulder .01388152 right_elbow .01515228 right_wrist .01057665 left_shoulder .01417709 "
        "left_elbow .01497891 left_wrist .01402144 right_hip .03909642 right_knee .03686941 right_ankle .01981803 "
        "left_hip .03843971 left_knee .03412318 left_ankle .02415081 head_top .01291456 neck .01236173"
    ),
}
BOTH_SIDES = ("ankle-knee", "knee-hip", "elbow-wrist", "shoulder-elbow")
LIMBS = {
    "crowdpose": (
        *BOTH_SIDES,
        *("left_hip-right_hip", "shoulder-hip", "left_shoulder-right_shoulder", "top_head-neck", "neck-shoulder"),
    ),
    "aic": (
        *BOTH_SIDES,
        *("neck-shoulder", "left_hip-right_hip", "head_top-neck", "shoulder-hip"),
    ),
    "mhp": (
        *BOTH_SIDES,
        *("hip-pelvis", "pelvis-thorax", "thorax-upper_neck", "upper_neck-head_top", "upper_neck-shoulder"),
    ),
}


def of_both_sides(limb: str, names: tuple[str, ...]) -> set[frozenset[str]]:
    """The limbs by their joints' names: one, or one of each side."""
    ends = limb.split("-")
    if all(end in names for end in ends):
        return {frozenset(ends)}
    return {frozenset(end if end in names else f"{side}_{end}" for end in ends) for side in ("left", "right")}


@pytest.mark.parametrize("name", SIGMAS)
def test_a_joints_sigma_is_the_published_one(name: str) -> None:
    words = SIGMAS[name].split()
    published = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    skeleton = SKELETONS[name]
    for joint, sigma in zip(skeleton.joints, skeleton.sigmas, strict=True):
        assert sigma == published.get(joint, published.get(joint.partition("_")[2])), joint
    assert {joint if joint in published else joint.partition("_")[2] for joint in skeleton.joints} == set(published)


@pytest.mark.parametrize("name", LIMBS)
def test_limbs_join_what_they_join_in_a_body(name: str) -> None:
    skeleton = SKELETONS[name]
    found = [frozenset(skeleton.joints[end] for end in limb) for limb in skeleton.limbs]
    assert len(set(found)) == len(found)
    assert set(found) == set().union(*(of_both_sides(limb, skeleton.joints) for limb in LIMBS[name]))


@pytest.mark.parametrize(
    "skeleton", [COCO, CROWDPOSE, AI_CHALLENGER, MHP, COCO_WHOLE_BODY], ids=lambda each: each.joints[0]
)
def test_a_mirror_changes_left_and_right_and_twice_nothing(skeleton: Skeleton) -> None:
    """A view from the other side is averaged joint by joint: one pair left out, and it pulls both to the middle."""
    places = skeleton.mirrored
    assert [places[place] for place in places] == list(range(len(skeleton.joints)))
    for name, place in zip(skeleton.joints, places, strict=True):
        if not name.startswith("face"):
            swapped = name.replace("left", "-").replace("right", "left").replace("-", "right")
            assert skeleton.joints[place] == swapped


def test_a_face_is_mirrored_feature_by_feature() -> None:
    """The 68 points: jaw, brows, bridge and base of the nose, eyes, outer and inner lips, each from one side on."""
    first = COCO_WHOLE_BODY.joints.index("face-0")
    face = [place - first for place in COCO_WHOLE_BODY.mirrored[first : first + 68]]
    turned = {(0, 17): (0, 17), (17, 27): (17, 27), (31, 36): (31, 36)}
    for (begin, end), (low, high) in turned.items():
        assert face[begin:end] == list(range(low, high))[::-1]
    assert face[27:31] == [27, 28, 29, 30]
    # Corner to corner over the upper lid, then back below: as both eyes begin at the outer left end.
    assert face[36:42] == [45, 44, 43, 42, 47, 46]
    assert face[48:55] == list(range(48, 55))[::-1] and face[55:60] == list(range(55, 60))[::-1]
    assert face[60:65] == list(range(60, 65))[::-1] and face[65:68] == [67, 66, 65]


def test_a_whole_body_has_its_parts_in_the_published_order_with_their_sigmas() -> None:
    joints, sigmas = COCO_WHOLE_BODY.joints, COCO_WHOLE_BODY.sigmas
    assert len(joints) == len(sigmas) == 133 and joints[:17] == COCO.joints
    toes = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
    assert joints[17:23] == toes and sigmas[17:23] == (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)
    assert joints[23] == "face-0" and joints[91] == "left_hand_root" and joints[112] == "right_hand_root"
    assert sigmas[91:112] == sigmas[112:] and sigmas[91] == 0.029
    # Sums of the published lists: a digit that changes is one that would change every AP of faces and hands a little.
    assert sum(sigmas[23:91]) == pytest.approx(1.137, abs=1e-12)
    assert sum(sigmas[91:112]) == pytest.approx(0.553, abs=1e-12)


def test_a_hand_is_five_chains_of_four_from_its_root() -> None:
    limbs = set(COCO_WHOLE_BODY.limbs)
    for root in (91, 112):
        for finger in range(5):
            first = root + 1 + 4 * finger
            assert {(root, first), (first, first + 1), (first + 1, first + 2), (first + 2, first + 3)} <= limbs
    assert len(limbs) == len(COCO.limbs) + 6 + 40
    feet = {("left_ankle", toe) for toe in ("left_big_toe", "left_small_toe", "left_heel")}
    feet |= {(ankle.replace("left", "right"), toe.replace("left", "right")) for ankle, toe in feet}
    named = {(COCO_WHOLE_BODY.joints[one], COCO_WHOLE_BODY.joints[other]) for one, other in limbs}
    assert feet <= named


def test_coco_limbs_are_those_of_its_annotation_files() -> None:
    # `categories[0]["skeleton"]` of person_keypoints_val2017.json, which counts from 1.
    published = "16-14 14-12 17-15 15-13 12-13 6-12 7-13 6-7 6-8 7-9 8-10 9-11 2-3 1-2 1-3 2-4 3-5 4-6 5-7"
    assert COCO.limbs == tuple((int(a) - 1, int(b) - 1) for a, b in (each.split("-") for each in published.split()))
