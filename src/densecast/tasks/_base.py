"""Protocol of a task: how outputs become predictions, and how these are compared, drawn and saved.

A task is an object, found like every plug-in (`tasks/<name>/`, an entry point in `densecast.tasks`, or
`package.module:Name`). `P` is its prediction, `T` its ground truth, both in pixels of the original image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from densecast.errors import BadConfigError
from densecast.plugins import PluginKind
from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.model import DecodeOptions, Frame, ModelSpec
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec

P = TypeVar("P")
T = TypeVar("T")
Shown = TypeVar("Shown", contravariant=True)
Joined = TypeVar("Joined", covariant=True)
Image = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Difference:
    """How much two predictions differ, for one image or summed over several.

    `amount` of `weight` differs, as changed pixels of all pixels. With `is_similarity`, `amount` of `weight` agrees
    instead, as the summed similarity of `weight` people. `counts` are further things to sum over images.
    """

    amount: float
    weight: float
    counts: dict[str, float] = field(default_factory=dict)
    is_similarity: bool = False

    @property
    def reported(self) -> float:
        """The value to print: the share that differs, 0 to 1, or for a similarity the share that agrees."""
        if self.weight:
            return self.amount / self.weight
        return 1.0 if self.is_similarity else 0.0

    @property
    def value(self) -> float:
        """The share that differs, from 0 for equal predictions to 1."""
        return 1 - self.reported if self.is_similarity else self.reported

    def __add__(self, other: Difference) -> Difference:
        names = {*self.counts, *other.counts}
        counts = {name: self.counts.get(name, 0) + other.counts.get(name, 0) for name in sorted(names)}
        return Difference(self.amount + other.amount, self.weight + other.weight, counts, self.is_similarity)


@dataclass(frozen=True, slots=True)
class Measure:
    """Names of a task's `Difference`: `name` in comparisons, `metric` as the objective of a mixed-precision search."""

    name: str
    metric: str


@runtime_checkable
class Task(Protocol[P, T]):
    """A task. All members are pure, except `save`, which writes one file."""

    @property
    def name(self) -> str:
        """The task's name in specs; `package.module:Name` if it is not a named plug-in."""

    @property
    def options_type(self) -> type[DecodeOptions]:
        """The frozen dataclass of the task's decode options; every field has a default."""

    @property
    def measure(self) -> Measure:
        """What `difference` measures."""

    def check(self, spec: ModelSpec) -> None:
        """Check that a model's spec is valid for this task.

        Raises:
            BadConfigError: labels, decode options or preprocessing that cannot work.
        """

    def output_channels(self, spec: ModelSpec) -> int | None:
        """The number of channels that the main output (N, C, h, w) must have; None for any."""

    def postprocess(
        self,
        outputs: Sequence[Feeds],
        views: Sequence[View],
        spec: ModelSpec,
        frame: Frame = "image",
        *,
        scores: bool = False,
    ) -> P:
        """Outputs by name, without the batch axis, for each view of an image -> its prediction.

        In pixels of the image, or with `frame` "network" of the part of the network's input that shows it. The caller
        may overwrite `outputs` afterwards, so the prediction owns its arrays. `scores` asks for the task's confidences
        as well.

        Raises:
            BadGraphError: outputs that are not those of this task.
            UsageError: views or scores that this task does not know.
        """

    def target_at(self, target: T, placement: Placement, frame: Frame) -> T:
        """Ground truth in image pixels -> ground truth in the given frame, where predictions are."""

    def as_prediction(self, target: T) -> P:
        """Ground truth converted to a prediction, for drawing."""

    def tensors(self, prediction: P) -> dict[str, Array]:
        """The prediction as named arrays, for files, stores and server responses."""

    def tensor_specs(self, spec: ModelSpec) -> tuple[TensorSpec, ...]:
        """Specs of the `tensors` that every prediction has; there may be more, such as scores."""

    def difference(self, left: P, right: P) -> Difference:
        """How much two predictions of one image differ."""

    def draw(self, image: Image, prediction: P, spec: ModelSpec) -> Image:
        """Draw the prediction over a copy of an (H, W, 3) uint8 RGB image."""

    def save(self, path_without_suffix: Path, prediction: P, spec: ModelSpec) -> Path:
        """Write the prediction in the task's own format; returns the file's path, which is the stem with a suffix."""

    def sample_outputs(self, outputs: Feeds, spec: ModelSpec) -> Feeds:
        """Sample outputs for the given specs, from which something is predicted, so that a warm-up runs all code."""


@runtime_checkable
class SavesColours(Protocol[Shown]):
    """A task whose predictions can be saved as colour images."""

    def save_colour(self, path_without_suffix: Path, prediction: Shown, spec: ModelSpec) -> Path:
        """Write `<path>_colour.png`."""


@runtime_checkable
class DrawsChanges(Protocol[Shown]):
    """A task that can show where two predictions differ."""

    def draw_changes(self, image: Image, left: Shown, right: Shown) -> Image:
        """Mark the differences on an (H, W, 3) uint8 RGB image."""


@runtime_checkable
class HasMargins(Protocol[Shown]):
    """A task whose decisions have a margin: a change with a small margin is a near-tie."""

    def margins(
        self, outputs: Feeds, left: Shown, right: Shown, spec: ModelSpec
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """From the reference's outputs of one view: margins where the two differ, and a sample of those everywhere."""


class Joiner(Protocol[Joined]):
    """Takes the outputs of an image's sliding windows one after another, and has the prediction in the end."""

    def add(self, outputs: Feeds) -> None:
        """Take the next window's outputs by name; the caller may overwrite them afterwards.

        Raises:
            BadGraphError: outputs that are not those of this task.
        """

    def prediction(self) -> Joined:
        """The prediction, after the last window; it owns its arrays."""


@runtime_checkable
class JoinsWindows(Protocol[Joined]):
    """A task that can put a prediction together from the outputs of overlapping windows (`ModelSpec.slide`)."""

    def joiner(
        self, views: Sequence[View], spec: ModelSpec, frame: Frame = "image", *, scores: bool = False
    ) -> Joiner[Joined]:
        """What takes the outputs of `views`, each of which has a window, in their order.

        Raises:
            UsageError: views or scores that this task does not know.
        """


@runtime_checkable
class HasWindowMargins(Protocol[Shown]):
    """A task with margins (`HasMargins`) that knows those of an image seen in windows."""

    def window_margins(
        self, outputs: Sequence[Feeds], views: Sequence[View], left: Shown, right: Shown, spec: ModelSpec
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """As `margins`, from the reference's outputs of all windows; both predictions are in the network's frame."""


def check_slide(spec: ModelSpec, task: object) -> None:
    """Check that a model of this task can have the sliding windows that its spec asks for, if it does.

    Raises:
        BadConfigError: it cannot.
    """
    if spec.slide is None:
        return
    if not isinstance(task, JoinsWindows):
        raise BadConfigError(
            f"{spec.name}: predictions of {spec.task} cannot be put together from sliding windows. Leave them out.",
            field="slide",
        )
    if len(spec.inputs) > 1:
        raise BadConfigError(
            f"{spec.name}: sliding windows are for networks of one input, this one takes {len(spec.inputs)}.",
            field="slide",
        )
    for side, crop, size in zip(("high", "wide"), spec.slide.crop_hw, spec.input.shape[2:], strict=False):
        if not (size.admits(crop) if isinstance(size, Dim) else size == crop):
            raise BadConfigError(
                f"{spec.name}: windows are {crop} pixels {side}, and the network takes {size}. Choose windows of a "
                "size that it takes.",
                field="slide",
            )


@runtime_checkable
class WeighsOutputs(Protocol):
    """A task that can weigh a change of raw outputs by its effect on predictions."""

    @property
    def output_measure(self) -> str:
        """The name of what `output_change` measures."""

    def output_change(self, expected: Sequence[F32], actual: Sequence[F32], spec: ModelSpec) -> float:
        """How much the meaning of main outputs (N, C, h, w) changed between two networks; 0 for no change."""

    def meaning(self, output: F32, spec: ModelSpec) -> F32:
        """A main output (C, h, w) -> the values that decisions depend on, such as class probabilities."""


TASKS: PluginKind[Task[Any, Any]] = PluginKind("tasks", "task", "TASK", Task)
