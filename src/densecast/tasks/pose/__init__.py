"""Bottom-up pose estimation: finds all people in an image, with their joints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from densecast.errors import BadConfigError
from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.georeference import Georeference
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.preprocess import PoseAffine
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec
from densecast.tasks._base import Difference, Image, Measure, Task
from densecast.tasks._legend import Entry
from densecast.tasks._prediction import Origin, Prediction
from densecast.tasks._regions import Style
from densecast.tasks.pose.options import PoseDecode as PoseDecode
from densecast.tasks.pose.skeleton import COCO, Skeleton


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Poses(Prediction):
    """`xy_px` (n, K, 2), `score` (n, K) and `person_score` (n,), float32: n people with K joints each.

    `origin` is what they were found in. People have neither regions, areas nor polygons: these refuse.
    """

    kind: ClassVar[str] = "people"
    xy_px: npt.NDArray[np.float32]
    score: npt.NDArray[np.float32]
    person_score: npt.NDArray[np.float32]
    origin: Origin | None = field(default=None, compare=False)

    def __len__(self) -> int:
        """The number of people."""
        return len(self.person_score)

    @property
    def skeleton(self) -> Skeleton | None:
        """The joints of the model that found them, COCO's for as many by hand; None for any other number."""
        options = self.origin.spec.decode if self.origin is not None else None
        skeleton = (options.skeleton if isinstance(options, PoseDecode) else None) or COCO
        return skeleton if len(skeleton.joints) == self.xy_px.shape[1] else None

    def boxes_xyxy(self) -> npt.NDArray[np.float32]:
        """(n, 4) left, top, right, bottom of each person's joints that were found; of all joints if none was."""
        from densecast.tasks.pose import people

        return people.boxes_xyxy(self)

    def to_geojson(self, georeference: Georeference | None = None) -> dict[str, Any]:
        """Refused: people have no polygons."""
        raise self._refusal("are joints, not polygons: save them as .json")

    def to_supervision(self) -> Any:
        """A `supervision.Detections` with a box around each person's joints, and `data["keypoints"]` (n, K, 3).

        Raises:
            MissingError: supervision is not installed.
        """
        from densecast.tasks import _supervision

        joints = np.concatenate([self.xy_px, self.score[..., None]], axis=2)
        return _supervision.of_people(self.boxes_xyxy(), self.person_score, joints, (*self.names, "person")[0])

    def _draw(self, canvas: Image, style: Style) -> Image:
        from densecast.tasks.pose import people

        return people.draw(self, canvas, style)

    def _entries(self) -> list[Entry]:
        from densecast.tasks.pose import people

        return people.entries(self)

    def _plain(self) -> dict[str, Any]:
        from densecast.tasks.pose import people

        return people.plain(self)

    def _arrays(self) -> dict[str, Array]:
        return TASK.tensors(self)

    def _summary(self) -> str:
        return f"{len(self)} {'person' if len(self) == 1 else 'people'}"


@dataclass(frozen=True, slots=True)
class AnnotatedPoses:
    """The annotated people of one image, in its pixels.

    `xy_px` (n, K, 2) float64 and `visibility` (n, K) uint8: 0 not marked (the point means nothing), 1 hidden,
    2 seen. `area_px` (n,) is a person's outlined area, `box_xywh_px` (n, 4) left, top, width and height.
    `is_crowd` (n,) bool marks groups of people who were not annotated one by one.
    """

    image_id: int
    xy_px: npt.NDArray[np.float64]
    visibility: npt.NDArray[np.uint8]
    area_px: npt.NDArray[np.float64]
    box_xywh_px: npt.NDArray[np.float64]
    is_crowd: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """The number of annotations."""
        return len(self.area_px)


def decode_options(spec: ModelSpec) -> PoseDecode:
    """The spec's own decode options."""
    assert isinstance(spec.decode, PoseDecode)
    return spec.decode


def skeleton_of(spec: ModelSpec) -> Skeleton:
    """The joints that a model of this task finds."""
    return decode_options(spec).skeleton or COCO


class PoseTask:
    """People from heatmaps and tags.

    `joints` is the number of each person's joints where the decode options have no skeleton: COCO's, or a subclass's.
    """

    name = "pose"
    joints = len(COCO.joints)
    options_type = PoseDecode
    measure = Measure("mean_oks", "oks")

    def check(self, spec: ModelSpec) -> None:
        """Check that the preprocessing is the one that postprocessing can invert.

        Raises:
            BadConfigError: it is another one, or there is no such output of tags.
        """
        options, resize = decode_options(spec), spec.preprocess.resize
        if not isinstance(resize, PoseAffine):
            raise BadConfigError(f"{spec.name}: pose needs the resize 'pose_affine', not {resize.kind!r}.")
        if resize.unbiased != options.unbiased:
            raise BadConfigError(
                f"{spec.name}: unbiased is {resize.unbiased} for the resize and {options.unbiased} for decoding; "
                "joints are brought back right only where both are the same.",
                field="unbiased",
            )
        if options.tags_output >= len(spec.outputs):
            raise BadConfigError(
                f"{spec.name}: tags are to be in output {options.tags_output}, counted from 0, but there are "
                f"{len(spec.outputs)} outputs.",
                field="tags_output",
            )

    def joints_of(self, spec: ModelSpec) -> int:
        """K, the number of each person's joints."""
        skeleton = decode_options(spec).skeleton
        return self.joints if skeleton is None else len(skeleton.joints)

    def output_channels(self, spec: ModelSpec) -> int | None:
        """A heatmap for each joint, and a tag map for each or one for all; None where another output has the tags."""
        options, joints = decode_options(spec), self.joints_of(spec)
        if options.tags_output:
            return None
        return 2 * joints if options.tag_per_joint else joints + 1

    def postprocess(
        self,
        outputs: Sequence[Feeds],
        views: Sequence[View],
        spec: ModelSpec,
        frame: Frame = "image",
        *,
        scores: bool = False,
    ) -> Poses:
        """Maps (C, h, w) of each view -> people, in the order of detection.

        Raises:
            BadGraphError: the output is no stack of maps.
            BadShapeError, BadInputError: maps of another number or type, or not finite.
            UsageError: scores were requested, which every prediction has.
        """
        from densecast.tasks.pose import postprocess

        names = [tensor.name for tensor in spec.outputs]
        maps = [[each[name] for name in names] for each in outputs]
        return postprocess.decode_views(maps, views, spec, frame, probability=scores)

    def target_at(self, target: AnnotatedPoses, placement: Placement, frame: Frame) -> AnnotatedPoses:
        """Joints in image pixels, or mapped to the network's input."""
        if frame == "image":
            return target
        scale = placement.scale_xy
        box = target.box_xywh_px
        return replace(
            target,
            xy_px=placement.to_model(target.xy_px),
            area_px=target.area_px * (scale[0] * scale[1]),
            box_xywh_px=np.concatenate([placement.to_model(box[:, :2]), box[:, 2:] * scale], axis=1),
        )

    def as_prediction(self, target: AnnotatedPoses) -> Poses:
        """Annotated joints get score 1, others 0."""
        score = (target.visibility > 0).astype(np.float32)
        return Poses(target.xy_px.astype(np.float32), score, np.ones(len(target), np.float32))

    def tensors(self, prediction: Poses) -> dict[str, Array]:
        """`xy_px`, `score` and `person_score`."""
        return {"xy_px": prediction.xy_px, "score": prediction.score, "person_score": prediction.person_score}

    def tensor_specs(self, spec: ModelSpec) -> tuple[TensorSpec, ...]:
        """Any number of people with K joints each."""
        people = Dim("people", 0, 1 << 16)
        return (
            TensorSpec("xy_px", "float32", (people, self.joints_of(spec), 2)),
            TensorSpec("score", "float32", (people, self.joints_of(spec))),
            TensorSpec("person_score", "float32", (people,)),
        )

    def difference(self, left: Poses, right: Poses) -> Difference:
        """The similarity of all people that either model detected, over detected joints; 0 for an unmatched person."""
        from densecast.tasks.pose import similarity

        return similarity.difference(left, right)

    def draw(self, image: Image, prediction: Poses, spec: ModelSpec) -> Image:
        """Draw joints and limbs of all people, left in blue and right in orange."""
        from densecast.tasks.pose import drawing

        return drawing.draw(image, prediction, skeleton=decode_options(spec).skeleton)

    def save(self, path_without_suffix: Path, prediction: Poses, spec: ModelSpec) -> Path:
        """Write `<path>.json`: one line per person with `keypoints`, [x, y, score] of each joint, and `score`."""
        from densecast.tasks.pose import drawing

        return drawing.save(path_without_suffix, prediction)

    def sample_outputs(self, outputs: Feeds, spec: ModelSpec) -> Feeds:
        """Maps of one person with one joint missing."""
        samples = {}
        for name, array in outputs.items():
            maps = np.zeros_like(array)
            if maps.ndim == 3:
                maps[1:, maps.shape[1] // 2, maps.shape[2] // 2] = 1
            samples[name] = maps
        return samples


TASK: Task[Poses, AnnotatedPoses] = PoseTask()
