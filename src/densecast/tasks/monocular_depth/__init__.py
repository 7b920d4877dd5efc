"""Monocular depth: how far away each pixel is, in metres or as a relative inverse depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from densecast.errors import BadConfigError, BadGraphError, UsageError
from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec
from densecast.tasks import _planes, _windows
from densecast.tasks._base import F32, Difference, Image, Joiner, Measure, Task
from densecast.tasks._legend import Entry
from densecast.tasks._planes import Interpolation
from densecast.tasks._prediction import Origin, Prediction
from densecast.tasks._regions import Style

Form = Literal["metres", "inverse"]
Alignment = Literal["none", "median", "least_squares"]

UNITS_PER_M = 256
"""Steps of a metre in files of 16 bits, as in KITTI's: up to 255.996 m, 0 for unknown."""


@dataclass(frozen=True, slots=True)
class MonocularDepthDecode:
    """What the network's output means, and how it is evaluated.

    `form` "metres" is depth, the output times `scale_m`, kept within `min_m` and `max_m` where given. "inverse" is
    relative inverse depth as of MiDaS: larger is nearer, in no unit.

    `to_image` is how depth of the network's size comes to the image's: "bilinear", or "bicubic" as in transformers'
    `post_process_depth_estimation` (a = -0.75, without antialiasing; it overshoots at edges).

    A metric counts pixels whose ground truth is above `eval_min_m` and below `eval_max_m` (80 is KITTI's, 10 NYU's).
    `align` brings each prediction to the ground truth's scale first: "median" by the ratio of medians, for metres of
    unknown scale, "least_squares" by scale and shift in inverse depth, which "inverse" needs.
    """

    form: Form = "metres"
    scale_m: float = 1.0
    min_m: float | None = None
    max_m: float | None = None
    eval_min_m: float = 1e-3
    eval_max_m: float = 80.0
    align: Alignment = "none"
    align_corners: bool = False
    to_image: Interpolation = "bilinear"
    kind: Literal["monocular_depth"] = "monocular_depth"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DepthMap(Prediction):
    """`values` (H, W) float32: metres, 0 for unknown; or with `form` "inverse" relative inverse depth.

    `origin` is what it was made of. Depth has neither classes nor regions, areas and polygons: these refuse.
    """

    kind: ClassVar[str] = "depth maps"
    values: F32
    form: Form = "metres"
    origin: Origin | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.values.shape[0], self.values.shape[1]

    def _draw(self, canvas: Image, style: Style) -> Image:
        from densecast.tasks.monocular_depth import files

        if style.contours:
            raise UsageError("depth maps have no regions that contours could be drawn around.", field="contours")
        return files.draw(canvas, self, opacity=style.opacity, legend=style.legend)

    def _entries(self) -> list[Entry]:
        return []

    def _plain(self) -> dict[str, Any]:
        from densecast.tasks.monocular_depth import files

        return {"form": self.form, **files.summary(self)}

    def _arrays(self) -> dict[str, Array]:
        return TASK.tensors(self)

    def _summary(self) -> str:
        from densecast.tasks.monocular_depth import files

        found = files.summary(self)
        unit = " m" if self.form == "metres" else ", relative inverse depth"
        return "nothing known" if found["median"] is None else f"{found['min']:.3g} to {found['max']:.3g}{unit}"


def decode_options(spec: ModelSpec) -> MonocularDepthDecode:
    """The spec's own decode options."""
    assert isinstance(spec.decode, MonocularDepthDecode)
    return spec.decode


class MonocularDepthTask:
    """Depth from the main output, (1, h, w) or (h, w), at the image's size."""

    name = "monocular_depth"
    options_type = MonocularDepthDecode
    measure = Measure("relative_difference", "depth_difference")
    # Asked for by name, so that tasks without the attribute have labels.
    has_labels = False

    def check(self, spec: ModelSpec) -> None:
        """Check that limits are in order, that every option has an effect, that there are no labels, and one plane.

        Raises:
            BadConfigError: they are not.
            BadGraphError: the network gives several planes.
        """
        options = decode_options(spec)
        if spec.labels:
            raise BadConfigError(
                f"{spec.name}: depth is a number for each pixel, and has no labels ({', '.join(spec.labels[:3])}). "
                "Leave them out, or give the task of a network of classes.",
                field="labels",
            )
        low, high = options.min_m, options.max_m
        if not options.scale_m > 0 or not math.isfinite(options.scale_m):
            raise BadConfigError(f"scale_m must be above 0, got {options.scale_m}.", field="scale_m")
        if not 0 <= (low or 0) < (math.inf if high is None else high):
            raise BadConfigError(f"depth needs 0 <= min_m < max_m, got {low} and {high}.", field="max_m")
        if not 0 < options.eval_min_m < options.eval_max_m:
            raise BadConfigError(
                f"depth needs 0 < eval_min_m < eval_max_m, got {options.eval_min_m} and {options.eval_max_m}.",
                field="eval_max_m",
            )
        if options.form == "inverse":
            if (options.scale_m, low, high) != (1.0, None, None):
                raise BadConfigError(
                    f"{spec.name}: relative inverse depth has no unit; scale_m, min_m and max_m have no effect on it.",
                    field="form",
                )
            if options.align == "median":
                raise BadConfigError(
                    f"{spec.name}: relative inverse depth has a shift, too; align it by 'least_squares'.", field="align"
                )
        elif options.align == "least_squares":
            raise BadConfigError(
                f"{spec.name}: 'least_squares' is for relative inverse depth; align metres by 'median'.", field="align"
            )
        if options.align_corners and options.to_image == "bicubic":
            raise BadConfigError(
                f"{spec.name}: 'bicubic' goes by the centres of pixels; leave align_corners out.", field="to_image"
            )
        _planes.check_resize(spec)
        shape = spec.output.shape
        if len(shape) == 4 and shape[1] != 1:
            raise BadGraphError(
                f"{spec.name}: depth is one plane (N, 1, h, w) or (N, h, w), and the output {spec.output.name!r} has "
                f"{shape[1]}. Is it another network, or another of its outputs?"
            )

    def output_channels(self, spec: ModelSpec) -> None:
        """Any: depth is (N, 1, h, w) or (N, h, w)."""

    def postprocess(
        self,
        outputs: Sequence[Feeds],
        views: Sequence[View],
        spec: ModelSpec,
        frame: Frame = "image",
        *,
        scores: bool = False,
    ) -> DepthMap:
        """(1, h, w) or (h, w) of each view -> depth at the image's size; of several views the mean.

        Raises:
            BadGraphError: the output is not one plane.
            UsageError: scores were requested.
        """
        if scores:
            raise UsageError(f"{spec.name}: depth has no scores.", field="scores")
        options = decode_options(spec)
        planes = [_checked(each[spec.output.name], spec) for each in outputs]
        values = _planes.mean_planes(
            planes, views, frame, align_corners=options.align_corners, to_image=options.to_image
        )[0]
        if options.form == "metres":
            if options.scale_m != 1.0:
                values *= np.float32(options.scale_m)
            if options.min_m is not None or options.max_m is not None:
                np.clip(values, options.min_m, options.max_m, out=values)
        return DepthMap(values, options.form)

    def joiner(
        self, views: Sequence[View], spec: ModelSpec, frame: Frame = "image", *, scores: bool = False
    ) -> Joiner[DepthMap]:
        """Averages the outputs of windows, and then does as `postprocess`."""
        align_corners = decode_options(spec).align_corners
        return _windows.PlaneJoiner(self, views, spec, frame, align_corners=align_corners, scores=scores)

    def target_at(self, target: F32, placement: Placement, frame: Frame) -> F32:
        """(H, W) metres, 0 for unknown, by nearest neighbour."""
        if frame == "image":
            return target
        return np.asarray(_planes.nearest(target[None], placement, frame)[0], dtype=np.float32)

    def as_prediction(self, target: F32) -> DepthMap:
        """The metres themselves."""
        return DepthMap(target)

    def tensors(self, prediction: DepthMap) -> dict[str, Array]:
        """`depth_m`, or `inverse_depth`."""
        return {_NAMES[prediction.form]: prediction.values}

    def tensor_specs(self, spec: ModelSpec) -> tuple[TensorSpec, ...]:
        """One number a pixel, in any image's size."""
        shape = (Dim("H", 1, 1 << 16), Dim("W", 1, 1 << 16))
        return (TensorSpec(_NAMES[decode_options(spec).form], "float32", shape),)

    def difference(self, left: DepthMap, right: DepthMap) -> Difference:
        """The mean over pixels of `|left - right| / left` (AbsRel against the left one), at most 1 a pixel.

        Relative inverse depth is divided by the range of the left one, for it has no zero.
        """
        apart = np.abs(left.values - right.values, dtype=np.float64)
        if left.form == "metres":
            against = np.abs(left.values, dtype=np.float64)
        else:
            finite = left.values[np.isfinite(left.values)]
            against = np.full(apart.shape, np.ptp(finite) if finite.size else 0.0, np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(apart == 0, 0.0, apart / against)
        both_unknown = np.isnan(left.values) & np.isnan(right.values)
        share = np.where(both_unknown, 0.0, np.nan_to_num(share, nan=1.0, posinf=1.0))
        return Difference(float(np.minimum(share, 1.0).sum()), share.size)

    def draw(self, image: Image, prediction: DepthMap, spec: ModelSpec) -> Image:
        """Draw near in yellow and far in violet over a copy of the image, with a legend."""
        from densecast.tasks.monocular_depth import files

        return files.draw(image, prediction)

    def save(self, path_without_suffix: Path, prediction: DepthMap, spec: ModelSpec) -> Path:
        """Write `<path>.png`, 16 bits, 256 a metre, 0 for unknown; relative inverse depth as float32 `<path>.npy`."""
        from densecast.tasks.monocular_depth import files

        return files.save(path_without_suffix, prediction)

    def save_colour(self, path_without_suffix: Path, prediction: DepthMap, spec: ModelSpec) -> Path:
        """Write `<path>_colour.png`: near in yellow, far in violet, unknown in black, with no legend."""
        from densecast.tasks.monocular_depth import files

        return files.save_colour(path_without_suffix, prediction)

    def sample_outputs(self, outputs: Feeds, spec: ModelSpec) -> Feeds:
        """A slope of one to two units."""
        return {
            name: np.broadcast_to(np.linspace(1, 2, array.shape[-1], dtype=array.dtype), array.shape).copy()
            for name, array in outputs.items()
        }


_NAMES: dict[Form, str] = {"metres": "depth_m", "inverse": "inverse_depth"}


def _checked(output: Array, spec: ModelSpec) -> F32:
    plane = output[None] if output.ndim == 2 else output
    if plane.ndim != 3 or plane.shape[0] != 1:
        raise BadGraphError(f"{spec.name}: depth is one plane (1, h, w) or (h, w); the network gave {output.shape}.")
    return np.asarray(plane, dtype=np.float32)


TASK: Task[DepthMap, F32] = MonocularDepthTask()
