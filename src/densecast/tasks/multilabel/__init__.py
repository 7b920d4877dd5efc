"""Multi-label segmentation: any number of classes for each pixel, each decided by its own sigmoid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from densecast.errors import BadConfigError, BadDatasetError, BadGraphError
from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec
from densecast.tasks import _planes, _regions, _windows
from densecast.tasks._base import F32, Difference, Image, Joiner, Measure, Task
from densecast.tasks._legend import Entry
from densecast.tasks._prediction import Origin, Prediction
from densecast.tasks._regions import Region, Style

Bits = npt.NDArray[np.bool_]
# The largest logit whose sigmoid is not 0 or 1 in float32 is far below.
_SURE = 80.0


@dataclass(frozen=True, slots=True)
class MultilabelDecode:
    """A class is there where its probability is above `threshold`, or above its own of `thresholds`, one a label.

    `activation` is what makes probabilities of the network's outputs: "none" is for networks that end in a sigmoid.
    """

    threshold: float = 0.5
    thresholds: tuple[float, ...] = ()
    activation: Literal["sigmoid", "none"] = "sigmoid"
    align_corners: bool = False
    kind: Literal["multilabel"] = "multilabel"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MultilabelMap(Prediction):
    """`classes` (C, H, W) bool: whether each class is there; `probability` (C, H, W) float32, if requested.

    `origin` is what it was made of.
    """

    kind: ClassVar[str] = "multi-label maps"
    classes: Bits
    probability: F32 | None = None
    origin: Origin | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.classes.shape[1], self.classes.shape[2]

    def regions(self) -> list[Region]:
        """Where each class is that was found; regions of several classes may overlap."""
        from densecast.tasks.multilabel import described

        return described.regions(self)

    def _draw(self, canvas: Image, style: Style) -> Image:
        from densecast.tasks.multilabel import described

        return described.draw(self, canvas, style)

    def _entries(self) -> list[Entry]:
        from densecast.tasks.multilabel import described

        return described.entries(self)

    def _plain(self) -> dict[str, Any]:
        return {"classes": _regions.plain(self.regions())}

    def _arrays(self) -> dict[str, Array]:
        return TASK.tensors(self)


@dataclass(frozen=True, slots=True, eq=False)
class MultilabelTarget:
    """Ground truth: `classes` (C, H, W) bool, and the names of the classes where the data set has them.

    Of bit fields C is the number of bits, 8 or 16: those above the model's classes have to be empty.
    """

    classes: Bits
    labels: tuple[str, ...] | None = None

    def planes_of(self, labels: tuple[str, ...], sample_id: str) -> Bits:
        """(len(labels), H, W): the planes of these classes, found by name, or of a target without names by their order.

        Raises:
            BadDatasetError: it lacks one of them, or has pixels of a class that is none of them; names `sample_id`.
        """
        places = {_folded(label): place for place, label in enumerate(self.labels or ())}
        lacking = [label for label in labels if self.labels is not None and _folded(label) not in places]
        if lacking or len(self.classes) < len(labels):
            told = (
                f"the data set's classes are {', '.join(self.labels)}, the model's {', '.join(labels)}. The data lack "
                + ", ".join(lacking)
                if self.labels is not None
                else f"the ground truth has {len(self.classes)} bits a pixel, the model {len(labels)} classes"
            )
            raise BadDatasetError(f"{sample_id}: {told}.", field="labels")
        chosen = [places[_folded(label)] if self.labels is not None else place for place, label in enumerate(labels)]
        beyond = [place for place in range(len(self.classes)) if place not in chosen and self.classes[place].any()]
        if beyond:
            what = f"bit {beyond[0]}" if self.labels is None else repr(self.labels[beyond[0]])
            there = f"classes 0 to {len(labels) - 1}" if self.labels is None else f"the classes {', '.join(labels)}"
            told = f"{what} is set in the ground truth, and the model has {there}."
            raise BadDatasetError(f"{sample_id}: {told}", field="labels")
        return self.classes[chosen]


def _folded(label: str) -> str:
    return "".join(letter for letter in label.casefold() if letter not in "_- ")


def decode_options(spec: ModelSpec) -> MultilabelDecode:
    """The spec's own decode options."""
    assert isinstance(spec.decode, MultilabelDecode)
    return spec.decode


class MultilabelTask:
    """Classes by their probabilities, at the image's size."""

    name = "multilabel"
    options_type = MultilabelDecode
    measure = Measure("bits_changed", "bit_disagreement")

    def check(self, spec: ModelSpec) -> None:
        """Check that there is a label, and that thresholds are probabilities, one a label if they are several.

        Raises:
            BadConfigError: they are not.
        """
        options = decode_options(spec)
        if not spec.labels:
            raise BadConfigError(f"{spec.name}: multilabel needs at least one label, got none.", field="labels")
        if options.thresholds and len(options.thresholds) != len(spec.labels):
            raise BadConfigError(
                f"{spec.name}: {len(options.thresholds)} thresholds for {len(spec.labels)} labels. Give one a label.",
                field="thresholds",
            )
        if options.thresholds and options.threshold != MultilabelDecode().threshold:
            raise BadConfigError(
                f"{spec.name}: 'thresholds' leave 'threshold' without effect. Give one of them.", field="threshold"
            )
        wrong = [value for value in (options.threshold, *options.thresholds) if not 0 < value < 1]
        if wrong:
            raise BadConfigError(
                f"{spec.name}: a threshold is a probability between 0 and 1, got {wrong[0]}.", field="threshold"
            )
        _planes.check_resize(spec)

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
    ) -> MultilabelMap:
        """Maps (C, h, w) of each view -> the classes of each pixel; of several views by the mean probability.

        Maps are resized before the sigmoid, as logits.

        Raises:
            BadGraphError: the output is not one plane a label.
        """
        options = decode_options(spec)
        maps = [_checked(each[spec.output.name], spec) for each in outputs]
        is_logits = options.activation == "sigmoid" and len(views) == 1
        meaning = sigmoid if options.activation == "sigmoid" and not is_logits else None
        planes = _planes.mean_planes(maps, views, frame, align_corners=options.align_corners, meaning=meaning)
        # The sigmoid is monotonous: its inverse of a few thresholds is cheaper than it of all pixels.
        classes = planes > _limits(spec, is_logits=is_logits)
        if not scores:
            return MultilabelMap(classes)
        return MultilabelMap(classes, sigmoid(planes) if is_logits else planes)

    def joiner(
        self, views: Sequence[View], spec: ModelSpec, frame: Frame = "image", *, scores: bool = False
    ) -> Joiner[MultilabelMap]:
        """Averages the outputs of windows, and then does as `postprocess`."""
        align_corners = decode_options(spec).align_corners
        return _windows.PlaneJoiner(self, views, spec, frame, align_corners=align_corners, scores=scores)

    def target_at(self, target: MultilabelTarget, placement: Placement, frame: Frame) -> MultilabelTarget:
        """Each class by nearest neighbour."""
        if frame == "image":
            return target
        brought = _planes.nearest(target.classes, placement, frame)
        return MultilabelTarget(np.asarray(brought, dtype=np.bool_), target.labels)

    def as_prediction(self, target: MultilabelTarget) -> MultilabelMap:
        """The classes themselves."""
        return MultilabelMap(target.classes)

    def tensors(self, prediction: MultilabelMap) -> dict[str, Array]:
        """`classes`, and `probability` if there is one."""
        tensors: dict[str, Array] = {"classes": prediction.classes}
        return tensors if prediction.probability is None else tensors | {"probability": prediction.probability}

    def tensor_specs(self, spec: ModelSpec) -> tuple[TensorSpec, ...]:
        """`classes` in any image's size."""
        shape = (len(spec.labels), Dim("H", 1, 1 << 16), Dim("W", 1, 1 << 16))
        return (TensorSpec("classes", "bool", shape),)

    def difference(self, left: MultilabelMap, right: MultilabelMap) -> Difference:
        """The share of bits that differ, over pixels and classes."""
        return Difference(int(np.count_nonzero(left.classes != right.classes)), left.classes.size)

    def draw(self, image: Image, prediction: MultilabelMap, spec: ModelSpec) -> Image:
        """Draw the mean colour of each pixel's classes, half transparent."""
        from densecast.tasks.multilabel import files

        return files.draw(image, prediction, spec)

    def draw_changes(self, image: Image, left: MultilabelMap, right: MultilabelMap) -> Image:
        """Draw the image in grey, with pixels of which any class changed in red."""
        from densecast.tasks.multilabel import files

        return files.draw_changes(image, left, right)

    def save(self, path_without_suffix: Path, prediction: MultilabelMap, spec: ModelSpec) -> Path:
        """Write `<path>.png`, bit i of a pixel for label i: 8 bits up to 8 labels, 16 up to 16; else `<path>.npz`.

        `<path>_score.npz` holds the probabilities, if there are any.
        """
        from densecast.tasks.multilabel import files

        return files.save(path_without_suffix, prediction, spec)

    @property
    def output_measure(self) -> str:
        """What `output_change` measures."""
        return "bits_changed"

    def output_change(self, expected: Sequence[F32], actual: Sequence[F32], spec: ModelSpec) -> float:
        """The share of the outputs' bits that differ."""
        limits = _limits(spec, is_logits=decode_options(spec).activation == "sigmoid")
        changed = [(left > limits) != (right > limits) for left, right in zip(expected, actual, strict=True)]
        return float(np.mean(np.concatenate([each.ravel() for each in changed])))

    def meaning(self, output: F32, spec: ModelSpec) -> F32:
        """The probability of each class. Non-finite values count as large, so that a broken network's error is."""
        finite = np.nan_to_num(output, nan=0.0, posinf=_SURE, neginf=-_SURE)
        return sigmoid(finite) if decode_options(spec).activation == "sigmoid" else finite

    def sample_outputs(self, outputs: Feeds, spec: ModelSpec) -> Feeds:
        """No class, but for a single pixel that has all of them."""
        absent, there = (-8.0, 8.0) if decode_options(spec).activation == "sigmoid" else (0.0, 1.0)
        samples = {}
        for name, array in outputs.items():
            planes = np.full_like(array, absent if name == spec.output.name else 0)
            if planes.ndim == 3:
                planes[:, planes.shape[1] // 2, planes.shape[2] // 2] = there
            samples[name] = planes
        return samples


def sigmoid(logits: F32) -> F32:
    """1 / (1 + exp(-x)) in float32; a new array."""
    powers = np.exp(-np.clip(logits, -_SURE, _SURE))
    powers += np.float32(1)
    return np.asarray(np.reciprocal(powers, out=powers), dtype=np.float32)


def _limits(spec: ModelSpec, *, is_logits: bool) -> F32:
    """(C, 1, 1): what each class's value has to be above."""
    options = decode_options(spec)
    limits = np.array(options.thresholds or (options.threshold,) * len(spec.labels), np.float64)
    limits = np.log(limits / (1 - limits)) if is_logits else limits
    return np.asarray(limits, dtype=np.float32)[:, None, None]


def _checked(output: Array, spec: ModelSpec) -> F32:
    if output.ndim != 3 or output.shape[0] != len(spec.labels):
        raise BadGraphError(
            f"{spec.name}: expected one map a label ({len(spec.labels)}, h, w); the network gave {output.shape}."
        )
    return np.asarray(output, dtype=np.float32)


TASK: Task[MultilabelMap, MultilabelTarget] = MultilabelTask()
