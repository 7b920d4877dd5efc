"""Semantic segmentation: one class for each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from densecast.errors import BadConfigError
from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.preprocess import FitCentre
from densecast.spec.sample import LabelMap
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec
from densecast.tasks._base import F32, Difference, Image, Measure, Task

ToImage = Literal["bilinear_logits", "nearest_labels", "nearest_labels_pillow", "blended_labels"]


@dataclass(frozen=True, slots=True)
class SegmentationDecode:
    """Logits to class indices: bilinear to the input's size, then to the image's, then argmax.

    `align_corners` is the convention of both resizes. With `to_image` "nearest_labels" the argmax comes before the
    second one, and the labels are brought to the image's size by OpenCV's nearest neighbour, as deployments do whose
    graph ends in the argmax; "nearest_labels_pillow" is Pillow's, which reads at the centre of a pixel, not its corner.
    "blended_labels" is Ascend's FCN-8s postprocessing, which mixes class numbers: see `imaging.blend_labels`.
    """

    align_corners: bool = False
    to_image: ToImage = "bilinear_logits"
    kind: Literal["segmentation"] = "segmentation"


@dataclass(frozen=True, slots=True)
class SegmentationMap:
    """`class_id` (H, W) uint8: each pixel's class index; `probability` (H, W) float32: its softmax, if requested."""

    class_id: LabelMap
    probability: npt.NDArray[np.float32] | None = None


def decode_options(spec: ModelSpec) -> SegmentationDecode:
    """The spec's own decode options."""
    assert isinstance(spec.decode, SegmentationDecode)
    return spec.decode


class SegmentationTask:
    """Classes by the largest logit, at the image's size."""

    name = "segmentation"
    options_type = SegmentationDecode
    measure = Measure("labels_changed", "disagreement")
    output_measure = "labels_changed"

    def check(self, spec: ModelSpec) -> None:
        """Check that there are at least two classes, and that labels can be mapped back from the network's input.

        Raises:
            BadConfigError: fewer than two labels, or a resize that needs another `to_image`.
        """
        if len(spec.labels) < 2:
            raise BadConfigError(f"a segmentation needs at least two labels, got {len(spec.labels)}.", field="labels")
        centred = isinstance(spec.preprocess.resize, FitCentre)
        if centred and decode_options(spec).to_image == "bilinear_logits":
            raise BadConfigError(f"{spec.name}: 'fit_centre' needs labels that are resized after the argmax.")

    def output_channels(self, spec: ModelSpec) -> int:
        """One channel per label."""
        return len(spec.labels)

    def postprocess(
        self,
        outputs: Sequence[Feeds],
        views: Sequence[View],
        spec: ModelSpec,
        frame: Frame = "image",
        *,
        scores: bool = False,
    ) -> SegmentationMap:
        """Logits (C, h, w) of each view -> each pixel's class of the highest mean probability.

        Raises:
            BadGraphError: the output is not a map of `len(spec.labels)` classes.
            UsageError: several views, and they do not meet at one size.
        """
        from densecast.tasks.segmentation import postprocess

        logits = [each[spec.output.name] for each in outputs]
        return postprocess.decode_views(logits, views, spec, frame, probability=scores)

    def target_at(self, target: LabelMap, placement: Placement, frame: Frame) -> LabelMap:
        """Resize label maps by nearest neighbour, as Pillow does."""
        if frame == "image":
            return target
        from densecast.imaging.prepare import resize_labels

        return resize_labels(target, placement.content_hw)

    def as_prediction(self, target: LabelMap) -> SegmentationMap:
        """The label map itself."""
        return SegmentationMap(target)

    def tensors(self, prediction: SegmentationMap) -> dict[str, Array]:
        """`class_id`, and `probability` if there is one."""
        tensors: dict[str, Array] = {"class_id": prediction.class_id}
        return tensors if prediction.probability is None else tensors | {"probability": prediction.probability}

    def tensor_specs(self, spec: ModelSpec) -> tuple[TensorSpec, ...]:
        """`class_id` in any image's size."""
        return (TensorSpec("class_id", "uint8", (Dim("H", 1, 1 << 16), Dim("W", 1, 1 << 16))),)

    def difference(self, left: SegmentationMap, right: SegmentationMap) -> Difference:
        """The share of pixels whose class differs."""
        differs = left.class_id != right.class_id
        return Difference(int(np.count_nonzero(differs)), differs.size)

    def draw(self, image: Image, prediction: SegmentationMap, spec: ModelSpec) -> Image:
        """Draw each class except the background in its colour, half transparent, outlined."""
        from densecast.tasks.segmentation import drawing

        return drawing.draw(image, prediction, spec)

    def save(self, path_without_suffix: Path, prediction: SegmentationMap, spec: ModelSpec) -> Path:
        """Write `<path>.png`: 8-bit class indices; with probabilities also `<path>_score.png`, 65535 for 1."""
        from densecast.tasks.segmentation import drawing

        return drawing.save(path_without_suffix, prediction)

    def save_colour(self, path_without_suffix: Path, prediction: SegmentationMap, spec: ModelSpec) -> Path:
        """Write `<path>_colour.png`: 8-bit RGB, each class in its colour; other values are black."""
        from densecast.tasks.segmentation import drawing

        return drawing.save_colour(path_without_suffix, prediction, spec)

    def draw_changes(self, image: Image, left: SegmentationMap, right: SegmentationMap) -> Image:
        """Draw the image in grey, with changed pixels in red."""
        from densecast.tasks.segmentation import drawing

        return drawing.draw_changes(image, left, right)

    def margins(
        self, outputs: Feeds, left: SegmentationMap, right: SegmentationMap, spec: ModelSpec
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The gap between the two best logits: where the class changed, and at every so many pixels."""
        from densecast.tasks.segmentation import margins

        logits = np.asarray(outputs[spec.output.name], dtype=np.float64)
        return margins.of_changes(logits, left, right, decode_options(spec).align_corners)

    def output_change(self, expected: Sequence[F32], actual: Sequence[F32]) -> float:
        """The share of positions whose argmax differs."""
        changed = [left.argmax(axis=1) != right.argmax(axis=1) for left, right in zip(expected, actual, strict=True)]
        return float(np.mean(np.concatenate([each.ravel() for each in changed])))

    def meaning(self, output: F32) -> F32:
        """Softmax over classes. Non-finite values count as large, so that a broken network's error is large."""
        finite = np.nan_to_num(output, nan=0.0, posinf=_FIRST_EXPONENT, neginf=-_FIRST_EXPONENT)
        powers = np.exp(finite - finite.max(axis=0))
        return np.asarray(powers / powers.sum(axis=0), dtype=np.float32)

    def sample_outputs(self, outputs: Feeds, spec: ModelSpec) -> Feeds:
        """Background with a single pixel that could be any other class."""
        return {name: one_pixel(array) for name, array in outputs.items()}


_FIRST_EXPONENT = 80.0


def one_pixel(array: Array) -> Array:
    """(C, h, w) -> zeros of that shape, with a one in the middle of every plane but the first."""
    planes = np.zeros_like(array)
    if planes.ndim == 3:
        planes[1:, planes.shape[1] // 2, planes.shape[2] // 2] = 1
    return planes


TASK: Task[SegmentationMap, LabelMap] = SegmentationTask()
