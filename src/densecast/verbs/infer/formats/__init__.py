"""Predictions in the formats of other tools, beside those that `infer` writes itself.

A format is made for one run: `make` turns one prediction into a part of its file, in any thread; `take` adds parts in
the order of the images, one at a time, to files on disk; `finish` writes the file that holds them all.
"""

from __future__ import annotations

import importlib
from pathlib import Path, PurePath
from typing import Any, Protocol, TypeVar

from densecast.errors import UsageError
from densecast.pipeline import Pipeline, Predicted
from densecast.spec.infer_options import InferOptions
from densecast.spec.model import ModelSpec
from densecast.tasks._prediction import Prediction
from densecast.tasks.multilabel import MultilabelTask
from densecast.tasks.pose import PoseTask
from densecast.tasks.segmentation import SegmentationTask
from densecast.verbs.infer.sources import Source, Sources

Part = TypeVar("Part")

# What each format can hold.
_TASKS: dict[str, dict[str, type]] = {
    "coco": {"segmentation": SegmentationTask, "multilabel": MultilabelTask, "pose": PoseTask},
    "coco_panoptic": {"segmentation": SegmentationTask},
    "geojson": {"segmentation": SegmentationTask, "multilabel": MultilabelTask},
    "cvat": {"segmentation": SegmentationTask, "multilabel": MultilabelTask, "pose": PoseTask},
    "fiftyone": {"segmentation": SegmentationTask, "multilabel": MultilabelTask, "pose": PoseTask},
}


class Format(Protocol[Part]):
    """A format during one run."""

    @property
    def endings(self) -> tuple[str, ...]:
        """What the files of one image end in."""

    @property
    def shared(self) -> tuple[str, ...]:
        """The names of files that hold all images, below the folder of results."""

    def placed(self, source: Source) -> tuple[PurePath, ...]:
        """Further files of one image, below the folder of results."""

    def begin(self, scratch: Path) -> None:
        """Get a folder for files that grow; nothing is written before."""

    def make(self, source: Source, predicted: Predicted[Path], stem: Path, top: Path) -> Part:
        """Write one image's files, at `stem` and below `top`; gives its part of the shared file."""

    def take(self, part: Part) -> None:
        """Add one image's part."""

    def finish(self, top: Path) -> None:
        """Write the shared files below `top`."""


def named(options: InferOptions, spec: ModelSpec) -> list[Format[Any]]:
    """The formats that were asked for."""
    modules = (importlib.import_module(f"{__name__}.{name}") for name in options.formats)
    return [module.FORMAT(spec) for module in modules]


def check(options: InferOptions, pipeline: Pipeline, found: Sources) -> None:
    """Check that every format can hold what is predicted.

    Raises:
        UsageError: names the format, and why it cannot.
    """
    if options.formats and found.has_videos:
        raise UsageError(
            "other tools' formats are for images; a video's frames are JSON lines. Leave it out.", field="formats"
        )
    if options.formats and options.large:
        raise UsageError("a large picture is never in memory as a whole: leave the formats out.", field="formats")
    for name in options.formats:
        if not isinstance(pipeline.task, tuple(_TASKS[name].values())):
            raise UsageError(
                f"{name} cannot hold predictions of {pipeline.spec.task}; it holds {' and '.join(_TASKS[name])}.",
                field="formats",
            )
        if options.skip_existing and name != "geojson":
            raise UsageError(
                f"{name} has all images in one file, which would lack those that are left out: leave it out.",
                field="skip_existing",
            )


def prediction_of(predicted: Predicted[Path]) -> Prediction:
    """The prediction, which knows its model."""
    assert isinstance(predicted.prediction, Prediction)
    return predicted.prediction


def name_of(source: Source) -> str:
    """What files of other tools call an image: its path below the folder that was given, with slashes."""
    return source.below.as_posix()
