"""Declarative preprocessing: everything that happens to an image before it reaches the network.

The declaration travels with the model in its manifest; `imaging.prepare` carries it out for calibration,
inference, evaluation and benchmarks alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from densecast.errors import BadConfigError, UsageError
from densecast.spec.conversions import Converted as Converted
from densecast.spec.conversions import one_or_many
from densecast.spec.geometry import Placement
from densecast.spec.near_multiple import NearMultiple as NearMultiple
from densecast.spec.resize import FitCentre as FitCentre
from densecast.spec.resize import FitInto as FitInto
from densecast.spec.resize import Floats, check_fill
from densecast.spec.resize import KeepRatio as KeepRatio
from densecast.spec.resize import Letterbox as Letterbox
from densecast.spec.resize import Native as Native
from densecast.spec.resize import PoseAffine as PoseAffine
from densecast.spec.resize import Resize as Resize
from densecast.spec.resize import ScaleBy as ScaleBy
from densecast.spec.resize import Stretch as Stretch
from densecast.spec.resize import ToMultiple as ToMultiple
from densecast.spec.short_side import ShortSide as ShortSide
from densecast.spec.sides import LARGEST_MULTIPLE

Interpolation = Literal["bicubic_pillow", "bilinear_opencv", "bilinear_pillow", "nearest"]
ColourOrder = Literal["RGB", "BGR", "GRAY"]
TripleFloat = tuple[float, float, float]
# Preprocessing computes in float32, which ends at 3e38.
_LARGEST_NUMBER = 1e30
# Networks see images that span at least 1 or so; what divides twice is far below.
_LEAST_SPAN = 0.05


def _upper(value: Any) -> Any:
    return "GRAY" if str(value).upper() == "GREY" else value.upper() if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Resize, colour order, `(x / divisor - mean) / std` in float32 on values 0..255, then channels first.

    A `divisor` of 255 is for a mean and deviation of values 0..1; scaling these instead changes the last bits.
    `mean` and `std` have a number for each of the network's channels, or one for all. `interpolation` is not for
    `PoseAffine`, which has its own. `use_exif` turns a photo upright by its orientation tag first, as OpenCV does and
    Pillow does not.

    A network of one channel sees the image grey (OpenCV's `COLOR_RGB2GRAY`); of other than three, the bands of the file
    in their order. `pad_multiple` pads the resized image to the right and below with `pad_fill` (0..255) to the next
    multiple. `value_range` are the file's values that mean 0 and 255, for files of more than 8 bits: they are mapped
    linearly and stay floats. Without it, 16-bit files are read as their upper 8 bits.
    """

    resize: Resize
    interpolation: Interpolation = "bilinear_opencv"
    colour: Annotated[ColourOrder, Converted(_upper)] = "RGB"
    mean: Annotated[Floats, Converted(one_or_many)] = (0.0, 0.0, 0.0)
    std: Annotated[Floats, Converted(one_or_many)] = (255.0, 255.0, 255.0)
    use_exif: bool = False
    divisor: float = 1.0
    pad_multiple: int = 1
    pad_fill: Annotated[Floats, Converted(one_or_many)] = (0.0,)
    value_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check what cannot work.

        Raises:
            BadConfigError: a normalisation, padding or range that no network can be meant to have.
        """
        object.__setattr__(self, "colour", _upper(self.colour))
        for name in ("mean", "std"):
            values = one_or_many(getattr(self, name))
            if not values or not all(abs(value) <= _LARGEST_NUMBER for value in values):
                raise BadConfigError(
                    f"{name} must be finite numbers, at most {_LARGEST_NUMBER:g}, got {_listed(values)}.", field=name
                )
            object.__setattr__(self, name, tuple(values))
        if not all(value > 1 / _LARGEST_NUMBER for value in self.std):
            raise BadConfigError(f"std must be above 0 in every channel, got {_listed(self.std)}.", field="std")
        if not 1 / _LARGEST_NUMBER < self.divisor < _LARGEST_NUMBER:
            raise BadConfigError(f"divisor must be above 0 and finite, got {self.divisor}.", field="divisor")
        self._check_scale()
        if not 1 <= self.pad_multiple <= LARGEST_MULTIPLE:
            raise BadConfigError(
                f"pad_multiple must be 1 to {LARGEST_MULTIPLE}, got {self.pad_multiple}.", field="pad_multiple"
            )
        if self.pad_multiple > 1 and isinstance(self.resize, PoseAffine):
            raise BadConfigError("pose_affine has a multiple of its own: leave pad_multiple out.", field="pad_multiple")
        object.__setattr__(self, "pad_fill", check_fill("pad_fill", self.pad_fill))
        if self.value_range is not None:
            low, high = self.value_range
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise BadConfigError(
                    f"value_range must be two rising numbers, the values that mean 0 and 255; got {low}, {high}.",
                    field="value_range",
                )
            if isinstance(self.resize, PoseAffine):
                raise BadConfigError("pose_affine takes images of 8 bits: leave value_range out.", field="value_range")

    def _check_scale(self) -> None:
        """Refuse a mean and deviation that are on another scale than the values they are applied to."""
        is_small = all(abs(value) <= 1 for value in self.mean) and all(value <= 1 for value in self.std)
        does_nothing = not any(self.mean) and all(value == 1 for value in self.std)
        if self.divisor == 1 and is_small and not does_nothing:
            raise BadConfigError(
                f"mean {_listed(self.mean)} and std {_listed(self.std)} are of values 0..1, but images have 0..255. "
                "Declare divisor = 255 beside them, or give both times 255.",
                field="divisor",
            )
        if self.divisor > 1 and max(self.mean) > 1 and max(self.mean) > 1.5 * 255 / self.divisor:
            raise BadConfigError(
                f"mean {_listed(self.mean)} is of values 0..255, but divisor = {self.divisor:g} makes them "
                f"0..{255 / self.divisor:g}. Leave the divisor out, or give mean and std of the divided values.",
                field="divisor",
            )
        if 255 / self.divisor / min(self.std) < _LEAST_SPAN and self.divisor > 1:
            raise BadConfigError(
                f"divisor = {self.divisor:g} and std {_listed(self.std)} divide twice: images become "
                f"0..{255 / self.divisor / min(self.std):.2g}. Leave one out (std = 1).",
                field="std",
            )

    def remarks(self) -> tuple[str, ...]:
        """What is possible but unusual about the normalisation, in a sentence each."""
        largest, found = 255 / self.divisor, []
        if any(not 0 <= value <= largest for value in self.mean):
            found.append(f"mean {_listed(self.mean)} lies outside of the values 0..{largest:g} that it is taken from")
        spans = [largest / value for value in self.std]
        if max(spans) > 256 or min(spans) < 0.5:
            found.append(f"std {_listed(self.std)} makes images span {min(spans):.2g} to {max(spans):.4g}")
        if max(self.std) > 20 * min(self.std):
            found.append(f"std {_listed(self.std)} differs between channels by more than 20 times")
        return tuple(f"Preprocessing: {text}; check that it is meant." for text in found)

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands in the network's input, padding included."""
        placement = self.resize.place(image_hw)
        if self.pad_multiple == 1:
            return placement
        height, width = (-(-side // self.pad_multiple) * self.pad_multiple for side in placement.model_hw)
        return replace(placement, model_hw=(height, width))

    def for_channels(self, channels: int) -> Preprocess:
        """The same, with a number for each of the network's channels; one channel is grey.

        Raises:
            BadConfigError: numbers or a colour order for another number of channels.
        """
        colour = "GRAY" if channels == 1 and self.colour == "RGB" else self.colour
        if (colour == "BGR" and channels != 3) or (colour == "GRAY" and channels != 1):
            raise BadConfigError(
                f"colour {colour} is for {3 if colour == 'BGR' else 1} channels, this network takes {channels}.",
                field="colour",
            )
        mean, std = (spread(name, getattr(self, name), channels) for name in ("mean", "std"))
        if (mean, std, colour) == (self.mean, self.std, self.colour):
            return self
        return replace(self, mean=mean, std=std, colour=colour)

    def surroundings(self) -> Floats | None:
        """The padding colour around the image, in 0..255 and the image's channel order; None if there is no padding."""
        if isinstance(self.resize, (FitInto, Letterbox)):
            return self.resize.fill
        if isinstance(self.resize, FitCentre):
            mean = self.mean[::-1] if self.colour == "BGR" else self.mean
            return tuple(value * self.divisor for value in mean)
        return None if self._has_whole_multiples() else self.pad_fill

    def _has_whole_multiples(self) -> bool:
        """Whether the resize gives multiples of `pad_multiple` already, so that no image is padded to them."""
        resize = self.resize
        if isinstance(resize, Stretch):
            return not any(side % self.pad_multiple for side in resize.size_hw)
        own = resize.multiple if isinstance(resize, (ToMultiple, NearMultiple, ShortSide)) else 1
        return own % self.pad_multiple == 0

    def check_bytes(self) -> None:
        """Check that normalisation can move into the network, with uint8 input.

        Raises:
            UsageError: the image is surrounded by a value that is no whole number, or has more than 8 bits.
        """
        if self.value_range is not None:
            raise UsageError(
                "this model's images have more than 8 bits (value_range), which bytes cannot hold. "
                "Build it without --uint8-input."
            )
        fill = (*(self.surroundings() or ()), *(self.pad_fill if self.pad_multiple > 1 else ()))
        if any(value != int(value) for value in fill):
            raise UsageError(
                f"this model's images are surrounded by {fill}, which bytes cannot hold. "
                "Build it without --uint8-input, or export another variant of it."
            )

    def at_ratios(self, ratios: Sequence[float]) -> tuple[Preprocess, ...]:
        """The preprocessing scaled by each ratio, for views that are used together."""
        if len(ratios) == 1 and ratios[0] == 1 and not isinstance(self.resize, PoseAffine):
            return (self,)
        resize = self.resize
        if isinstance(resize, PoseAffine):
            resize = replace(resize, min_scale=resize.scale * min(ratios))
        return tuple(replace(self, resize=resize if ratio == 1 else resize.scaled(ratio)) for ratio in ratios)


def spread(name: str, values: Floats, channels: int) -> Floats:
    """One number for each of so many channels; a single number, or equal ones, stand for all.

    >>> spread("mean", (0.5,), 3)
    (0.5, 0.5, 0.5)

    Raises:
        BadConfigError: another count of different numbers.
    """
    if len(values) == channels:
        return values
    if len(set(values)) == 1:
        return values[:1] * channels
    raise BadConfigError(
        f"{name} needs {channels} numbers, one a channel, or one for all; got {len(values)}.", field=name
    )


def _listed(values: Floats) -> str:
    return ", ".join(f"{value:g}" for value in values)
