"""Finds a model's joints in a COCO file by name: which category has key points, and in which order.

`categories[].keypoints` names the joints of a category, in the order of each annotation's `keypoints`
(https://cocodataset.org/#format-data). Tools write any order, and leave joints out or add some.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadDatasetError
from densecast.tasks.pose.coco_person import JOINTS

PERSON = 1
"""The category of files that describe none, and the name that decides between several."""

_PERSON_NAME = "person"
# Names that tools give to joints that nobody named: p0, kp_3, point 7, keypoint1, joint-2, #4, 5.
_PLACEHOLDER = re.compile(r"(p|pt|kp|kpt|key|point|keypoint|joint|j|k|node|label|landmark|lm|#)?\d+")
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class JointOrder:
    """The category of the people, and the place of each of the model's joints in its annotations.

    `places` has one place for each joint of the model, -1 for joints that the file does not have; `count` is the number
    of joints of an annotation. Annotations of the categories `left_out` are not used.
    """

    category: int
    places: tuple[int, ...]
    count: int
    left_out: frozenset[int] = frozenset()
    remarks: tuple[str, ...] = ()

    def of_model(self, joints: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n, count, 3) as the file orders them -> (n, K, 3) as the model does; zeros (not labelled) for no place."""
        absent = np.zeros((len(joints), 1, 3))
        return np.concatenate([joints, absent], axis=1)[:, list(self.places)]


def joint_order(document: dict[str, Any], joints: tuple[str, ...] = JOINTS) -> JointOrder:
    """The category and joints of a file's people, by the names in its `categories`; `joints` are the model's.

    Raises:
        BadDatasetError: the categories are no list of objects with an id; several have key points and none is called
            person; or a joint is unknown, is there twice, or cannot be told.
    """
    categories = document.get("categories")
    if categories in (None, []):
        remark = f"the file names no categories: its joints are taken in {_order_of(joints)}, {joints[0]} first"
        return JointOrder(PERSON, tuple(range(len(joints))), len(joints), remarks=(remark,))
    ids = _ids(categories)
    assert isinstance(categories, list)
    with_joints = [each for each in categories if each.get("keypoints")]
    candidates = with_joints or categories
    named = [each for each in candidates if fold(each.get("name")) == _PERSON_NAME]
    if len(candidates) > 1 and len(named) != 1:
        names = ", ".join(repr(str(each.get("name"))[:40]) for each in candidates[: 2 * _SHOWN])
        what = "have key points" if with_joints else "are there, none with key points"
        raise BadDatasetError(
            f"the categories {names} {what}: which one is the model's cannot be known. Call that one 'person', or "
            "remove 'keypoints' from the others"
        )
    chosen = named[0] if len(candidates) > 1 else candidates[0]
    places, count, remarks = _places(chosen, joints)
    others = [str(each.get("name")) for each in with_joints if each is not chosen]
    if others:
        remarks += (f"the category {chosen['name']!r} is measured; left out is {', '.join(others[:_SHOWN])}",)
    return JointOrder(chosen["id"], places, count, frozenset(ids - {chosen["id"]}), remarks)


def fold(name: object) -> str:
    """A name without case, blanks, underscores and hyphens: `Left Eye` and `left_eye` are one joint."""
    return "".join(letter for letter in str(name).casefold() if letter not in "_-" and not letter.isspace())


def _ids(categories: Any) -> set[int]:
    is_list = isinstance(categories, list) and all(
        isinstance(each, dict) and type(each.get("id")) is int for each in categories
    )
    if not is_list:
        raise BadDatasetError("categories must be a list of objects, each with a whole number as id")
    ids = {each["id"] for each in categories}
    if len(ids) != len(categories):
        raise BadDatasetError("two categories have one id")
    return ids


def _order_of(joints: tuple[str, ...]) -> str:
    return "COCO's order" if joints == JOINTS else "the model's order"


def _places(category: dict[str, Any], joints: tuple[str, ...]) -> tuple[tuple[int, ...], int, tuple[str, ...]]:
    """The place of each joint, the number of places, and remarks."""
    names = category.get("keypoints") or []
    title = f"category {str(category.get('name'))[:40]!r}"
    if not isinstance(names, list) or not all(isinstance(name, (str, int)) for name in names):
        raise BadDatasetError(f"{title}: keypoints must be a list of the joints' names")
    in_order = f"its joints are taken in {_order_of(joints)}, {joints[0]} first"
    by_place = tuple(range(len(joints)))
    as_model = "COCO does" if joints == JOINTS else "the model does"
    example = f"{as_model} ({', '.join(joints[:_SHOWN])}, …)"
    if not names:
        return by_place, len(joints), (f"{title} names no joints: {in_order}",)
    folded = [fold(name) for name in names]
    twice = next((name for place, name in enumerate(names) if folded[place] in folded[:place]), None)
    if twice is not None:
        raise BadDatasetError(f"{title}: the joint {str(twice)[:40]!r} is there twice")
    if all(_PLACEHOLDER.fullmatch(name) for name in folded):
        if len(names) != len(joints):
            raise BadDatasetError(
                f"{title}: {len(names)} joints called {names[0]!r} … say nothing about which they are. Name them as "
                f"{example}"
            )
        return by_place, len(joints), (f"{title} calls its joints {names[0]!r} …, which says nothing: {in_order}",)
    place_of = {name: place for place, name in enumerate(folded)}
    wanted = [fold(joint) for joint in joints]
    places = tuple(place_of.get(name, -1) for name in wanted)
    unknown = [str(name) for name, plain in zip(names, folded, strict=True) if plain not in wanted]
    absent = [joint for joint, place in zip(joints, places, strict=True) if place < 0]
    remarks: list[str] = []
    if unknown and absent:
        raise BadDatasetError(
            f"{title}: the joint {unknown[0][:40]!r} is none of the model's, which still lacks {_listed(absent)}. "
            f"Name the joints as {example}, or leave others out"
        )
    if unknown:
        remarks.append(f"{title}: joints that the model does not have are left out: {_listed(unknown)}")
    if absent:
        remarks.append(f"{title}: nothing is measured of joints that it does not have: {_listed(absent)}")
    return places, len(names), tuple(remarks)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
