"""Reads spec files: task, labels and preprocessing of a foreign `.onnx` or `.pt` file."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from densecast.datasets import _layouts
from densecast.errors import BadConfigError, MissingExtraError
from densecast.io import codec
from densecast.measure import data_source
from densecast.metrics._base import METRICS
from densecast.spec.model import DecodeOptions, Evaluation, ModelSpec, ReadByTask, Rgb
from densecast.spec.options import Range
from densecast.spec.preprocess import (
    FitInto,
    KeepRatio,
    Letterbox,
    Native,
    Preprocess,
    Resize,
    ScaleBy,
    ShortSide,
    Stretch,
)
from densecast.spec.slide import Slide
from densecast.spec.tensor import Dim, TensorSpec
from densecast.tasks._base import TASKS, check_slide
from densecast.tasks.segmentation import palettes
from densecast.verbs.export.outputs import DEFAULT_NAME

_LOG = logging.getLogger(__name__)


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

    `task` is a task's name, or `package.module:Name`; `decode` are its options, by default its own defaults. `outputs`
    name the network's outputs, the main one first. `input_preprocess` says of each input beside the image how it is
    made of the same image. `side` bounds height and width where the graph leaves them open. `channels`
    are the network's: 1 is grey, others than 3 are the bands of the files. `slide` is for networks that see an image in
    sliding windows: `slide = { crop_hw = [512, 512], stride_hw = [341, 341] }`.

    For `task = "pose"` the resize has to be `{ kind = "pose_affine" }`, and the graph gives a heatmap and then
    a tag map for each joint: COCO's 17, or those of `decode.skeleton`.
    """

    labels: tuple[str, ...] = ()
    preprocess: Preprocess = field(default_factory=lambda: Preprocess(Native()))
    task: str = "segmentation"
    palette: tuple[Rgb, ...] | None = None
    decode: Annotated[DecodeOptions, ReadByTask()] | None = None
    evaluation: Evaluation | None = None
    side: Range = Range(16, 4096)
    largest_batch: int = 64
    channels: int = 3
    outputs: tuple[str, ...] = ()
    input_preprocess: dict[str, Preprocess] = field(default_factory=dict)
    slide: Slide | None = None

    def model(self, name: str) -> ModelSpec:
        """The model's spec; tensor names and fixed sizes come from the graph later.

        Raises:
            BadConfigError: what is declared does not go together.
            UnknownNameError, PluginError: there is no such task.
        """
        task = TASKS.load_trusted(self.task)
        batch = Dim("N", 1, self.largest_batch)
        colours = self.palette or palettes.voc(len(self.labels))
        if len(colours) != len(self.labels):
            raise BadConfigError(
                f"{len(self.labels)} labels but {len(colours)} colours in the palette.", field="palette"
            )
        try:
            spec = ModelSpec(
                name,
                self.task,
                (
                    TensorSpec("image", "float32", self._sizes(batch, "")),
                    *(TensorSpec(each, "float32", self._sizes(batch, f"{each}_")) for each in self.input_preprocess),
                ),
                tuple(TensorSpec(each, "float32", (batch,)) for each in self.outputs or (DEFAULT_NAME,)),
                self.preprocess,
                self.decode or task.options_type(),
                self.labels,
                colours,
                self.evaluation,
                input_preprocess=self.input_preprocess,
                slide=self.slide,
            )
        except ValueError as error:
            raise BadConfigError(f"{error}.") from None
        task.check(spec)
        check_evaluation(spec)
        check_slide(spec, task)
        for rule in (self.preprocess, *self.input_preprocess.values()):
            for remark in rule.remarks():
                _LOG.warning(remark)
        channels = task.output_channels(spec)
        if channels is None:
            return spec
        sizes = self._sizes(batch, "")
        return spec.with_output(replace(spec.output, shape=(batch, channels, *sizes[2:])))

    def _sizes(self, batch: Dim, prefix: str) -> tuple[Dim, int, Dim, Dim]:
        height, width = (Dim(f"{prefix}{side}", self.side.min, self.side.max) for side in ("H", "W"))
        return (batch, self.channels, height, width)


def check_evaluation(spec: ModelSpec) -> None:
    """Check the data set and the metric that a spec names, as soon as it names them.

    Raises:
        UnknownNameError, PluginError: there is none of that name.
        UsageError: the metric or the ground truth is for another task.
    """
    if spec.evaluation is None:
        return
    layout = _layouts.layout(spec.evaluation.dataset)
    with contextlib.suppress(MissingExtraError):  # what it needs may be on the machine that measures
        METRICS.load_trusted(spec.evaluation.metric).check(spec)
        data_source.check_truth(spec, layout)


def read(path: Path) -> SpecFile:
    """Read a spec file.

    Raises:
        BadConfigError: missing, malformed, or with a wrong or unknown key.
    """
    return read_with_keys(path)[0]


def read_with_keys(path: Path) -> tuple[SpecFile, frozenset[str]]:
    """Read a spec file; also returns the keys that stand in it, for what a zoo model's own spec goes on saying.

    Raises:
        BadConfigError: as `read`.
    """
    data = codec.read(path, dict)
    return of_plain(data, str(path)), frozenset(data)


def of_plain(data: dict[str, Any], where: str) -> SpecFile:
    """The contents of a spec file as a table; `where` it is from is said in errors.

    Raises:
        BadConfigError: as `read`.
    """
    if isinstance(data.get("decode"), dict):
        data = {**data, "decode": {"kind": data.get("task", "segmentation"), **data["decode"]}}
    return codec.from_plain(data, SpecFile, where)


def parse_resize(text: str) -> Resize:
    """Parse `native`, `scale:0.5`, `stretch:512x1024` (height x width), `keep:2048x1024` (long x short), `fit:513x513`.

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
        if kind == "short" and int(value) > 0:
            return ShortSide(int(value))
        if kind in ("stretch", "keep", "fit", "letterbox"):
            first, second = (int(side) for side in value.split("x"))
            if first > 0 and second > 0:
                made: dict[str, Resize] = {
                    "stretch": Stretch((first, second)),
                    "fit": FitInto((first, second)),
                    "letterbox": Letterbox((first, second)),
                }
                return made.get(kind, KeepRatio(first, second))
    except ValueError:
        pass
    raise BadConfigError(
        "a resize must be native, scale:FACTOR, stretch:HEIGHTxWIDTH, keep:LONGxSHORT, short:SIDE, fit:HEIGHTxWIDTH or "
        f"letterbox:HEIGHTxWIDTH, got {text!r}.",
        field="resize",
    )
