"""What joints a pose network finds: their names, left-right pairs, limbs and annotation precision."""

from __future__ import annotations

import math
from dataclasses import dataclass

from densecast.errors import BadConfigError
from densecast.tasks.pose import coco_person

MAX_JOINTS = 512


@dataclass(frozen=True, slots=True)
class Skeleton:
    """K joints in the order of a network's heatmaps.

    Joint k of a mirrored image is joint `mirrored[k]` of the image; one without a side is its own. `limbs` are pairs of
    joints. `sigmas` are standard deviations of the marked places as shares of the square root of a person's area, or
    empty where nobody measured them.
    """

    joints: tuple[str, ...]
    mirrored: tuple[int, ...]
    limbs: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            BadConfigError: other counts than joints, pairs that do not lead back, or a sigma that is not above 0.
        """
        count = len(self.joints)
        if not 1 <= count <= MAX_JOINTS or len(set(self.joints)) != count:
            raise BadConfigError(f"a skeleton has 1 to {MAX_JOINTS} joints with names of their own, got {count}.")
        if len(self.mirrored) != count or any(
            not 0 <= other < count or self.mirrored[other] != joint for joint, other in enumerate(self.mirrored)
        ):
            raise BadConfigError(
                f"of {count} joints, each needs the place of its mirror image, which leads back to it."
            )
        if any(not 0 <= end < count for limb in self.limbs for end in limb):
            raise BadConfigError(f"limbs are pairs of joints 0 to {count - 1}, got {self.limbs!r:.80}.")
        if self.sigmas and (
            len(self.sigmas) != count or not all(math.isfinite(each) and each > 0 for each in self.sigmas)
        ):
            raise BadConfigError(f"of {count} joints, either all have a sigma above 0, or none has one.")


COCO = Skeleton(coco_person.JOINTS, coco_person.MIRRORED, coco_person.LIMBS, coco_person.SIGMAS)
