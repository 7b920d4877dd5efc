"""Tells whether joints lie in the frame that a model sees a picture in: as stored, or upright by its EXIF tag.

Some tools write joints upright beside the stored width and height, others joints of the stored frame. The annotated
size alone cannot tell these apart; joints and boxes that reach beyond one of the frames can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from densecast.datasets import _frames
from densecast.errors import BadDatasetError, DensecastError
from densecast.spec.sample import Sample
from densecast.tasks.pose import AnnotatedPoses

# Boxes and joints at the border are rounded outwards.
_MARGIN_PX = 1.5


class Lie(Enum):
    """Where joints can lie: anywhere, in the frame that is seen only, or in the other one only."""

    EITHER = 0
    SEEN = 1
    OTHER = 2
    NOWHERE = 3


@dataclass(frozen=True, slots=True)
class Frames:
    """Height and width of a picture as a model sees it, as it is the other way, and as it is annotated."""

    seen_hw: tuple[int, int]
    other_hw: tuple[int, int]
    annotated_hw: tuple[int, int]

    @classmethod
    def of(cls, sample: Sample, annotated_hw: tuple[int, int], *, use_exif: bool) -> Frames:
        """The frames of a sample's picture; only its header is read.

        Raises:
            BadImageError: the header cannot be read.
            BadDatasetError: the annotated size is neither; only an orientation tag explains sides that are swapped.
        """
        stored, upright = _frames.sizes_hw(sample.image)
        if annotated_hw not in (stored, upright):
            raise BadDatasetError(
                f"{sample.image}: image {sample.id} is {_size(stored)} pixels, annotated are {_size(annotated_hw)}. "
                "The annotations belong to another image."
            )
        return cls(*((upright, stored) if use_exif else (stored, upright)), annotated_hw)

    @property
    def differ(self) -> bool:
        """Whether the annotated size is that of the frame that is not seen."""
        return self.annotated_hw != self.seen_hw

    def where(self, people: AnnotatedPoses) -> Lie:
        """Where people can lie, by the joints that are marked and the boxes."""
        right, bottom = _reach(people)
        fits = [right <= width + _MARGIN_PX and bottom <= height + _MARGIN_PX for height, width in self._both]
        return {(True, True): Lie.EITHER, (True, False): Lie.SEEN, (False, True): Lie.OTHER}.get(
            (fits[0], fits[1]), Lie.NOWHERE
        )

    @property
    def _both(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return self.seen_hw, self.other_hw


def require_seen(
    sample: Sample, frames: Frames, people: AnnotatedPoses, others_lie: Callable[[], Lie], *, use_exif: bool
) -> None:
    """Require that joints lie in the frame that is seen. `others_lie` tells where those of other pictures do.

    Raises:
        BadDatasetError: they lie in the other frame, or nothing tells that they do not.
    """
    if frames.seen_hw == frames.other_hw or not len(people):
        return
    lie = frames.where(people)
    if lie is Lie.EITHER and frames.differ:
        lie = others_lie()
    elif lie in (Lie.EITHER, Lie.NOWHERE) and not frames.differ:
        return
    if lie is Lie.SEEN:
        return
    seen, other = ("upright", "stored") if use_exif else ("as it is stored", "upright")
    fact = "lie" if lie is Lie.OTHER else "may lie"
    raise BadDatasetError(
        f"{sample.image}: image {sample.id} has an orientation tag, and is seen {seen}, {_size(frames.seen_hw)} "
        f"pixels; annotated are {_size(frames.annotated_hw)}, and its joints {fact} in the {other} frame. Turn joints, "
        "boxes, width and height with the picture, as its tag says."
    )


def lie_of_others(
    samples: tuple[Sample, ...],
    people: dict[str, AnnotatedPoses],
    sizes_hw: dict[str, tuple[int, int]],
    *,
    use_exif: bool,
) -> Lie:
    """Where the joints of pictures lie whose annotated size is that of the frame that is not seen, if all agree."""
    found: set[Lie] = set()
    for sample in samples:
        try:
            frames = Frames.of(sample, sizes_hw[sample.id], use_exif=use_exif)
        except DensecastError:  # it is named when it is read
            continue
        if frames.differ and len(people[sample.id]):
            found.add(frames.where(people[sample.id]))
    certain = found - {Lie.EITHER}
    return certain.pop() if len(certain) == 1 else Lie.EITHER


def _reach(people: AnnotatedPoses) -> tuple[float, float]:
    """The largest x and y of marked joints and boxes."""
    joints = people.xy_px[people.visibility > 0]
    corners = people.box_xywh_px[:, :2] + people.box_xywh_px[:, 2:]
    x, y = np.concatenate([joints, corners]).max(axis=0).tolist()
    return float(x), float(y)


def _size(hw: tuple[int, int]) -> str:
    return f"{hw[1]}×{hw[0]}"
