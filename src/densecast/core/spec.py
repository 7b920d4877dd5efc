"""What a model is, apart from its weights: tensors, preprocessing, decoding, labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from densecast.core.preprocess import Preprocess
from densecast.core.tensor import TensorSpec

Task = Literal["segmentation", "pose"]
Frame = Literal["image", "network"]
Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class SegmentationDecode:
    """Logits to class indices: bilinear to the input's size, then to the image's, then argmax.

    `align_corners` is the convention of both resizes.
    """

    align_corners: bool = False
    kind: Literal["segmentation"] = "segmentation"


Decode = SegmentationDecode


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
    """A model's name, task, tensors, and all that turns an image into a prediction and back."""

    name: str
    task: Task
    input: TensorSpec
    output: TensorSpec
    preprocess: Preprocess
    decode: Decode
    labels: tuple[str, ...]
    palette: tuple[Rgb, ...]
    evaluation: Evaluation | None = None

    def __post_init__(self) -> None:
        """One colour for each label."""
        if len(self.labels) != len(self.palette):
            raise ValueError(f"{self.name}: {len(self.labels)} labels but {len(self.palette)} colours")
