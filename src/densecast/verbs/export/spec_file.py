"""What a foreign `.onnx` or `.pt` file does not say of itself: its task, labels and preprocessing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from densecast.errors import BadConfigError
from densecast.io import codec
from densecast.spec.model import Decode, Evaluation, ModelSpec, Rgb, SegmentationDecode, Task
from densecast.spec.options import Range
from densecast.spec.pose_decode import PoseDecode
from densecast.spec.preprocess import FitInto, KeepRatio, Native, Preprocess, Resize, ScaleBy, Stretch
from densecast.spec.tensor import Dim, TensorSpec
from densecast.tasks.pose.coco_person import JOINTS
from densecast.tasks.segmentation import palettes


@dataclass(frozen=True, slots=True)
class SpecFile:
    """The contents of a spec file (TOML or JSON).

    ```toml
    labels = ["background", "car"]
    [preprocess]
    resize = { kind = "scale_by", factor = 0.5 }
    interpolation = "bicubic_pillow"
    std = [255, 255, 255]
    [evaluation]
    dataset = "carvana"
    metric = "dice"
    ```

    `side` bounds height and width where the graph leaves them open. For `task = "pose"` the resize has to be
    `{ kind = "pose_affine" }`, and the graph gives 17 heatmaps and then 17 tag maps of COCO's joints.
    """

    labels: tuple[str, ...]
    preprocess: Preprocess = field(default_factory=lambda: Preprocess(Native()))
    task: Task = "segmentation"
    palette: tuple[Rgb, ...] | None = None
    decode: Decode | None = None
    evaluation: Evaluation | None = None
    side: Range = Range(16, 4096)
    largest_batch: int = 64

    def model(self, name: str) -> ModelSpec:
        """The model's spec; tensor names and fixed sizes come from the graph later.

        Raises:
            BadConfigError: what is declared does not go together.
        """
        if self.task == "segmentation" and len(self.labels) < 2:
            raise BadConfigError(f"a segmentation needs at least two labels, got {len(self.labels)}.")
        sizes = (
            Dim("N", 1, self.largest_batch),
            3,
            Dim("H", self.side.min, self.side.max),
            Dim("W", self.side.min, self.side.max),
        )
        colours = self.palette or palettes.voc(len(self.labels))
        if len(colours) != len(self.labels):
            raise BadConfigError(f"{len(self.labels)} labels but {len(colours)} colours in the palette.")
        is_pose = self.task == "pose"
        channels = 2 * len(JOINTS) if is_pose else len(self.labels)
        try:
            return ModelSpec(
                name,
                self.task,
                TensorSpec("image", "float32", sizes),
                TensorSpec("maps" if is_pose else "logits", "float32", (sizes[0], channels, *sizes[2:])),
                self.preprocess,
                self.decode or (PoseDecode() if is_pose else SegmentationDecode()),
                self.labels,
                colours,
                self.evaluation,
            )
        except ValueError as error:
            raise BadConfigError(f"{error}.") from None


def read(path: Path) -> SpecFile:
    """A spec file.

    Raises:
        BadConfigError: missing, malformed, or with a wrong or unknown key.
    """
    return codec.read(path, SpecFile)


def parse_resize(text: str) -> Resize:
    """`native`, `scale:0.5`, `stretch:512x1024` (height x width), `keep:2048x1024` (long x short side), `fit:513x513`.

    >>> parse_resize("scale:0.5")
    ScaleBy(factor=0.5, kind='scale_by')

    Raises:
        BadConfigError: none of these forms.
    """
    kind, _, value = text.partition(":")
    try:
        if kind == "native" and not value:
            return Native()
        if kind == "scale" and float(value) > 0:
            return ScaleBy(float(value))
        if kind in ("stretch", "keep", "fit"):
            first, second = (int(side) for side in value.split("x"))
            if first > 0 and second > 0:
                made: dict[str, Resize] = {"stretch": Stretch((first, second)), "fit": FitInto((first, second))}
                return made.get(kind, KeepRatio(first, second))
    except ValueError:
        pass
    raise BadConfigError(
        f"--resize {text!r} must be native, scale:FACTOR, stretch:HEIGHTxWIDTH, keep:LONGxSHORT or fit:HEIGHTxWIDTH."
    )
