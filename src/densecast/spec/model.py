"""What a model is, apart from its weights: tensors, preprocessing, decoding, labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from densecast.spec.pose_decode import PoseDecode
from densecast.spec.preprocess import FitCentre, PoseAffine, Preprocess
from densecast.spec.tensor import TensorSpec

Task = Literal["segmentation", "pose"]
Frame = Literal["image", "network"]
Rgb = tuple[int, int, int]
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


Decode = SegmentationDecode | PoseDecode


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How the model's published score is measured.

    `frame` says at which size predictions meet the ground truth: the image's own, or the network's
    (the target is then resized by nearest neighbour).
    """

    dataset: str
    metric: str
    frame: Frame = "image"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model's name, task, tensors, and all that turns an image into a prediction and back.

    `excluded_types` are operators that int8 does not pay for in this network, `excluded_names` regular expressions
    of such nodes' names; every int8 build leaves them out. `half_type` is the type that a build takes where none is
    asked for: "auto" is what is fast, another what this network needs to keep its answers.
    """

    name: str
    task: Task
    input: TensorSpec
    output: TensorSpec
    preprocess: Preprocess
    decode: Decode
    labels: tuple[str, ...]
    palette: tuple[Rgb, ...]
    evaluation: Evaluation | None = None
    excluded_types: tuple[str, ...] = ()
    excluded_names: tuple[str, ...] = ()
    half_type: Literal["auto", "bf16", "f16"] = "auto"

    def __post_init__(self) -> None:
        """One colour for each label, and what the task needs."""
        if len(self.labels) != len(self.palette):
            raise ValueError(f"{self.name}: {len(self.labels)} labels but {len(self.palette)} colours")
        if self.decode.kind != self.task:
            raise ValueError(f"{self.name}: outputs of {self.task} cannot be decoded by {self.decode.kind}")
        if self.task == "pose" and not isinstance(self.preprocess.resize, PoseAffine):
            raise ValueError(f"{self.name}: pose needs the resize 'pose_affine', not {self.preprocess.resize.kind!r}")

        centred = isinstance(self.preprocess.resize, FitCentre)
        if centred and isinstance(self.decode, SegmentationDecode) and self.decode.to_image == "bilinear_logits":
            raise ValueError(f"{self.name}: 'fit_centre' needs labels that are resized after the argmax")

    @property
    def needs_mirror(self) -> bool:
        """Whether the network has to see every image mirrored as well."""
        return isinstance(self.decode, PoseDecode) and self.decode.flip
