"""Semantic segmentation: one class for each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from densecast.errors import BadConfigError
from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.preprocess import FitCentre
from densecast.spec.sample import MAX_CLASSES, LabelMap, label_dtype
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec
from densecast.tasks._base import F32, Difference, Image, Joiner, Measure, Task
from densecast.tasks.segmentation.label_map import SegmentationMap as SegmentationMap

ToImage = Literal[
    "bilinear_logits", "bilinear_logits_once", "nearest_labels", "nearest_labels_pillow", "blended_labels"
]
Form = Literal["logits", "probabilities", "binary_logits", "binary_probability", "labels"]
BINARY: tuple[Form, ...] = ("binary_logits", "binary_probability")
# It is the network's values that come to the image's size, and the class of the largest is taken there.
_OF_VALUES: tuple[ToImage, ...] = ("bilinear_logits", "bilinear_logits_once")


@dataclass(frozen=True, slots=True)
class SegmentationDecode:
    """Logits to class indices: bilinear to the input's size, then to the image's, then argmax.

    `align_corners` is the convention of both resizes. With `to_image` "bilinear_logits_once" the logits go to the
    image's size in one step, as `post_process_semantic_segmentation` of transformers takes them: then the whole input
    must show the image, without padding. With "nearest_labels" the argmax comes before the
    second one, and the labels are brought to the image's size by OpenCV's nearest neighbour, as deployments do whose
    graph ends in the argmax; "nearest_labels_pillow" is Pillow's, which reads at the centre of a pixel, not its corner.
    "blended_labels" is Ascend's FCN-8s postprocessing, which mixes class numbers: see `imaging.blend_labels`.

    `form` is what the network's main output holds: "logits" or "probabilities" (after softmax), one plane a label;
    "binary_logits" or "binary_probability" (after sigmoid), one plane for two labels, of which the second is where the
    probability is above `threshold`; or "labels", class indices (N, H, W) or (N, 1, H, W) of an argmax inside the
    graph, which cannot be "bilinear_logits": they are brought to the image as by "nearest_labels_pillow" then.
    """

    align_corners: bool = False
    to_image: ToImage = "bilinear_logits"
    form: Form = "logits"
    threshold: float = 0.5
    kind: Literal["segmentation"] = "segmentation"

    def __post_init__(self) -> None:
        """Settle how labels that the graph gives come to the image, and check the threshold.

        Raises:
            BadConfigError: a threshold that is not between 0 and 1, or that no output is compared with.
        """
        if self.form == "labels" and self.resizes_values:
            object.__setattr__(self, "to_image", "nearest_labels_pillow")
        if not 0 < self.threshold < 1:
            raise BadConfigError(
                f"the threshold is a probability, above 0 and below 1; got {self.threshold}.", field="threshold"
            )
        if self.threshold != 0.5 and self.form not in BINARY:
            raise BadConfigError(
                f"a threshold is for one plane that tells two labels apart (form {BINARY[0]!r} or {BINARY[1]!r}); of "
                f"{self.form} the largest wins.",
                field="threshold",
            )

    @property
    def resizes_values(self) -> bool:
        """Whether the class is taken at the image's size, of resized values, not brought there afterwards."""
        return self.to_image in _OF_VALUES


def decode_options(spec: ModelSpec) -> SegmentationDecode:
    """The spec's own decode options."""
    assert isinstance(spec.decode, SegmentationDecode)
    return spec.decode


def shifted(spec: ModelSpec, what: str) -> BadConfigError:
    """The error of resizing once where the network's input shows more, or less, than the image."""
    return BadConfigError(
        f"{spec.name} has {what}, and to_image = 'bilinear_logits_once' stretches the whole output over the image: "
        "labels would be shifted. Take 'bilinear_logits'.",
        field="decode",
    )


def resized_twice(spec: ModelSpec) -> ModelSpec:
    """The spec with its logits resized to the network's size first, where it resizes them once."""
    decode = spec.decode
    if not isinstance(decode, SegmentationDecode) or decode.to_image != "bilinear_logits_once":
        return spec
    return replace(spec, decode=replace(decode, to_image="bilinear_logits"))


class SegmentationTask:
    """Classes by the largest logit, at the image's size."""

    name = "segmentation"
    options_type = SegmentationDecode
    measure = Measure("labels_changed", "disagreement")
    output_measure = "labels_changed"

    def check(self, spec: ModelSpec) -> None:
        """Check that there are at least two classes, and that labels can be mapped back from the network's input.

        Raises:
            BadConfigError: fewer than two labels, more than 16 bits hold, other than two for one plane, or a resize
                that needs another `to_image`; or sliding windows of a graph that gives labels.
        """
        count = len(spec.labels)
        if count < 2:
            cure = " Name them, as labels=['road', 'sky'] or --labels road,sky, or in a spec file."
            if count:
                cure = f" Of a network with one plane name both: background,{spec.labels[0]}."
            raise BadConfigError(f"a segmentation needs at least two labels, got {count}.{cure}", field="labels")
        if count > MAX_CLASSES:
            raise BadConfigError(f"labels are 16 bits at most: {MAX_CLASSES} classes; got {count}.", field="labels")
        form = decode_options(spec).form
        if form in BINARY and count != 2:
            raise BadConfigError(
                f"{form}: one plane tells two labels apart, where it is not and where it is; got {count} labels.",
                field="labels",
            )
        if spec.slide is not None and form == "labels":
            raise BadConfigError(
                f"{spec.name}: its graph ends in the argmax, and labels of sliding windows cannot be averaged. Export "
                "the network with its logits as the output.",
                field="slide",
            )
        centred = isinstance(spec.preprocess.resize, FitCentre)
        if centred and decode_options(spec).resizes_values:
            raise BadConfigError(f"{spec.name}: 'fit_centre' needs labels that are resized after the argmax.")
        if decode_options(spec).to_image == "bilinear_logits_once":
            if spec.preprocess.surroundings() is not None:
                raise shifted(spec, "padding around images")
            if spec.slide is not None:
                raise shifted(spec, "sliding windows")

    def output_channels(self, spec: ModelSpec) -> int | None:
        """One channel per label; one in all where it tells two labels apart; any where the output is the labels."""
        form = decode_options(spec).form
        return None if form == "labels" else 1 if form in BINARY else len(spec.labels)

    def postprocess(
        self,
        outputs: Sequence[Feeds],
        views: Sequence[View],
        spec: ModelSpec,
        frame: Frame = "image",
        *,
        scores: bool = False,
    ) -> SegmentationMap:
        """Outputs (C, h, w) of each view -> each pixel's class of the highest mean probability.

        Raises:
            BadGraphError: the output is not a map of `len(spec.labels)` classes, or of the form that the spec says.
            UsageError: several views, and they do not meet at one size; or scores or several views of labels.
        """
        from densecast.tasks.segmentation import forms, postprocess

        maps = [each[spec.output.name] for each in outputs]
        if decode_options(spec).form == "logits":
            return postprocess.decode_views(maps, views, spec, frame, probability=scores)
        return forms.decode_views(maps, views, spec, frame, probability=scores)

    def joiner(
        self, views: Sequence[View], spec: ModelSpec, frame: Frame = "image", *, scores: bool = False
    ) -> Joiner[SegmentationMap]:
        """Averages the outputs of windows as MMSegmentation's `slide_inference`, then labels as `postprocess`."""
        from densecast.tasks.segmentation.windows import Labelling

        return Labelling(views, spec, frame, scores=scores)

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
        dtype = str(label_dtype(len(spec.labels)))
        return (TensorSpec("class_id", dtype, (Dim("H", 1, 1 << 16), Dim("W", 1, 1 << 16))),)

    def difference(self, left: SegmentationMap, right: SegmentationMap) -> Difference:
        """The share of pixels whose class differs."""
        differs = left.class_id != right.class_id
        return Difference(int(np.count_nonzero(differs)), differs.size)

    def draw(self, image: Image, prediction: SegmentationMap, spec: ModelSpec) -> Image:
        """Draw each class except the background in its colour, half transparent, outlined."""
        from densecast.tasks.segmentation import drawing

        return drawing.draw(image, prediction, spec)

    def save(self, path_without_suffix: Path, prediction: SegmentationMap, spec: ModelSpec) -> Path:
        """Write `<path>.png`: class indices; with probabilities also `<path>_score.png`, 65535 for 1.

        Indices are 8 bits, or 16 of a model with more than 256 classes.
        """
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
        """The gap between the two best values: where the class changed, and at every so many pixels.

        Of one plane it is the distance from the threshold; labels from inside the graph have none.
        """
        from densecast.tasks.segmentation import forms, margins

        if decode_options(spec).form == "labels":
            return np.zeros(0), np.zeros(0)
        options = decode_options(spec)
        planes = np.asarray(forms.planes(np.asarray(outputs[spec.output.name], np.float64), options), np.float64)
        return margins.of_changes(planes, left, right, options.align_corners)

    def window_margins(
        self,
        outputs: Sequence[Feeds],
        views: Sequence[View],
        left: SegmentationMap,
        right: SegmentationMap,
        spec: ModelSpec,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The same gaps in the averaged values of the first view, band by band."""
        from densecast.tasks.segmentation import margins

        return margins.of_windows(outputs, views, left, right, spec)

    def output_change(self, expected: Sequence[F32], actual: Sequence[F32], spec: ModelSpec) -> float:
        """The share of positions whose label differs."""
        from densecast.tasks.segmentation import forms

        options = decode_options(spec)
        changed = [
            forms.labels_of(left, options) != forms.labels_of(right, options)
            for left, right in zip(expected, actual, strict=True)
        ]
        return float(np.mean(np.concatenate([each.ravel() for each in changed])))

    def meaning(self, output: F32, spec: ModelSpec) -> F32:
        """Class probabilities. Non-finite values count as large, so that a broken network's error is large."""
        from densecast.tasks.segmentation import forms

        return forms.probabilities(output, spec)

    def sample_outputs(self, outputs: Feeds, spec: ModelSpec) -> Feeds:
        """Background with a single pixel that could be any other class."""
        return {name: one_pixel(array) for name, array in outputs.items()}


def one_pixel(array: Array) -> Array:
    """(C, h, w) -> zeros of that shape, with a one in the middle of every plane but the first; of one plane, in it."""
    planes = np.zeros_like(array)
    if planes.ndim >= 2:
        first = 1 if planes.ndim == 3 and len(planes) > 1 else 0
        planes.reshape(-1, *planes.shape[-2:])[first:, planes.shape[-2] // 2, planes.shape[-1] // 2] = 1
    return planes


TASK: Task[SegmentationMap, LabelMap] = SegmentationTask()
