"""The options of bottom-up pose estimation: how heatmaps and tags become people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from densecast.errors import BadConfigError
from densecast.tasks.pose.skeleton import Skeleton


@dataclass(frozen=True, slots=True)
class PoseDecode:
    """Associative embedding as MMPose 0.29 decodes it; the defaults are those of its COCO configurations.

    `flip`: the network also saw the mirrored image; heatmaps are averaged, tags are not.
    `project_to_image`: work at the network's input size; otherwise at the size of its largest output.
    `nms_kernel`: side of the square window in which a peak is the highest, odd.
    `max_people`: peaks taken from each joint's map; how many people they make is limited only with
    `ignore_too_many`.
    `detection_threshold`: what a peak has to exceed, at least 0.
    `tag_threshold`: what a peak's distance from its person's mean tag has to stay below.
    `use_detection_value`: match by rounded distance first, then by heatmap value; otherwise by distance alone.
    `tag_per_joint`: one tag map for each joint, otherwise one for all.
    `adjust`: shift found joints by a quarter of a pixel towards the larger neighbour.
    `refine`: look for missing joints in the maps.
    `align_corners`: maps are brought to one size with their corners aligned.
    `unbiased`: joints by unbiased data processing (Huang et al. 2020, arXiv:1911.07524): places count from the first
    pixel's centre, and are found by the shape of the peak; goes with an unbiased `pose_affine` resize.
    `tags_output`: which of the network's outputs holds the tags, behind its heatmaps; all give heatmaps, which are
    averaged.
    `skeleton`: the joints; COCO's 17 where it is None.
    """

    flip: bool = True
    project_to_image: bool = True
    nms_kernel: int = 5
    max_people: int = 30
    detection_threshold: float = 0.1
    tag_threshold: float = 1.0
    use_detection_value: bool = True
    ignore_too_many: bool = False
    tag_per_joint: bool = True
    adjust: bool = True
    refine: bool = True
    align_corners: bool = False
    unbiased: bool = False
    tags_output: int = 0
    skeleton: Skeleton | None = None
    kind: Literal["pose"] = "pose"

    def __post_init__(self) -> None:
        """Refuse options that cannot work.

        Raises:
            BadConfigError: an even window, no people, or a negative threshold.
        """
        if self.nms_kernel < 1 or self.nms_kernel % 2 == 0:
            raise BadConfigError(f"nms_kernel must be odd and at least 1, got {self.nms_kernel}.")
        if self.tags_output < 0:
            raise BadConfigError(f"tags_output counts outputs from 0, got {self.tags_output}.")
        if self.max_people < 1:
            raise BadConfigError(f"max_people must be at least 1, got {self.max_people}.")
        if not self.detection_threshold >= 0:
            raise BadConfigError(
                f"detection_threshold must be at least 0, got {self.detection_threshold}: below it every pixel of "
                "a map would be a joint."
            )
