"""Translates other libraries' declarations of preprocessing into ours, exactly or not at all.

Sources of the rules: segmentation_models.pytorch's `preprocess_input`, Hugging Face's image processors
(`preprocessor_config.json`), and torchvision's `SemanticSegmentation` preset.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from densecast.errors import BadConfigError, UnknownNameError
from densecast.io import codec
from densecast.spec.preprocess import (
    ColourOrder,
    Interpolation,
    Native,
    NearMultiple,
    Preprocess,
    Resize,
    ShortSide,
    Stretch,
)

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

NAMED = {
    "imagenet": Preprocess(Native(), mean=IMAGENET_MEAN, std=IMAGENET_STD, divisor=255.0),
    "0..1": Preprocess(Native()),
    "-1..1": Preprocess(Native(), mean=(127.5,), std=(127.5,)),
    "0..255": Preprocess(Native(), std=(1.0,)),
}
"""Normalisations by name, of the image as it is: ImageNet's mean and deviation, and ranges of values."""

PROCESSOR_FILE = "preprocessor_config.json"
# Pillow's numbers of its filters.
_RESAMPLE: dict[int, Interpolation] = {2: "bilinear_pillow", 3: "bicubic_pillow"}


@runtime_checkable
class _Processor(Protocol):
    """What a Hugging Face image processor has."""

    image_mean: Any

    def to_dict(self) -> dict[str, Any]: ...


@runtime_checkable
class _Preset(Protocol):
    """What torchvision's preset of segmentation has."""

    resize_size: Any
    mean: Any
    std: Any


def translate(source: object) -> Preprocess:
    """Ours, a name, smp's dict, a Hugging Face processor or its file or folder, or torchvision's transforms -> ours.

    Raises:
        BadConfigError: names the key that cannot be expressed, or says that the object is of no known kind.
        UnknownNameError: no normalisation of that name.
    """
    if isinstance(source, Preprocess):
        return source
    if isinstance(source, Path) or (isinstance(source, str) and source.endswith(".json")):
        path = Path(source)
        return of_processor(codec.read(path / PROCESSOR_FILE if path.is_dir() else path, dict))
    if isinstance(source, str):
        if source.lower() not in NAMED:
            raise UnknownNameError.among("preprocessing", source, tuple(NAMED))
        return NAMED[source.lower()]
    if isinstance(source, Mapping):
        return of_smp(source) if "input_space" in source or "input_range" in source else of_processor(source)
    if isinstance(source, _Processor):
        return of_processor(source.to_dict())
    if isinstance(source, _Preset):
        return of_torchvision(source)
    raise BadConfigError(
        f"preprocess must be a Preprocess, a name ({', '.join(NAMED)}), smp's get_preprocessing_params(), a Hugging "
        f"Face image processor or its file, or torchvision's weights.transforms(); got {type(source).__name__}.",
        field="preprocess",
    )


def of_smp(params: Mapping[str, Any]) -> Preprocess:
    """`get_preprocessing_params` of segmentation_models.pytorch: input_space, input_range, mean, std."""
    unknown = sorted(set(params) - {"input_space", "input_range", "mean", "std"})
    if unknown:
        raise _cannot(unknown[0], params[unknown[0]])
    space = params.get("input_space") or "RGB"
    if space not in ("RGB", "BGR"):
        raise _cannot("input_space", space)
    limits = params.get("input_range")
    if limits is not None and tuple(limits) not in ((0, 1), (0, 255)):
        raise _cannot("input_range", limits)
    colour: ColourOrder = "BGR" if space == "BGR" else "RGB"
    divisor = 255.0 if limits is not None and tuple(limits) == (0, 1) else 1.0
    return _normalised(Native(), "bilinear_opencv", colour, params.get("mean"), params.get("std"), divisor)


def of_processor(config: Mapping[str, Any], *, is_resized: bool = False) -> Preprocess:
    """A Hugging Face image processor's configuration, for a segmentation network that takes whole images.

    Where it is said elsewhere how images `is_resized`, sizes and crops are not read, and images keep their size.
    """
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type"))
    for key, value in config.items():
        if key.startswith("do_") and value and key not in _UNDERSTOOD and not (is_resized and key in _CUTS):
            raise _cut(key, config) if key in _CUTS else _cannot(key, value)
    resizes = bool(config.get("do_resize", False))
    # GLPN's processor has no size.
    is_down, is_near, is_up = kind.startswith("GLPN"), kind.startswith("DPT"), kind.startswith(_ROUNDED_UP)
    own = {"size_divisor"} if is_down or is_up else {"keep_aspect_ratio", "ensure_multiple_of"} if is_near else set()
    for key in () if is_resized else _GEOMETRY:
        if config.get(key) and not (resizes and key in own) and not (key == "ensure_multiple_of" and config[key] == 1):
            raise _cannot(key, config[key])
    if config.get("rescale_offset") or config.get("offset"):
        raise _cannot("rescale_offset", True)
    resize: Resize = Native()
    interpolation: Interpolation = "bilinear_opencv"
    if resizes:
        number = config.get("resample", 2)
        if not is_resized:
            resize = _down(config) if is_down else _up(config) if is_up else _of_size(config.get("size"))
            resize = _near(resize, config) if is_near else resize
        if number not in _RESAMPLE:
            raise _cannot("resample", number)
        interpolation = _RESAMPLE[number]
    divisor = 1.0
    if config.get("do_rescale", True):
        divisor = 1.0 / float(config.get("rescale_factor", 1 / 255))
        # 1 / 255 has been through text.
        divisor = round(divisor) if abs(divisor - round(divisor)) < 1e-9 * divisor else divisor
    colour: ColourOrder = "BGR" if config.get("do_flip_channel_order", kind.startswith("MobileViT")) else "RGB"
    mean = std = None
    # Of a processor that normalises nothing unless told to, a newer file may hold numbers nevertheless.
    if config.get("do_normalize", not kind.startswith(_NOT_NORMALISED)):
        mean, std = config.get("image_mean"), config.get("image_std")
        if mean is None or std is None:
            raise BadConfigError("do_normalize is set, but image_mean or image_std is not there.", field="preprocess")
    return _normalised(resize, interpolation, colour, mean, std, float(divisor))


def of_torchvision(preset: Any) -> Preprocess:
    """The preset of torchvision's segmentation weights, `weights.transforms()`, as it treats Pillow's images."""
    size = preset.resize_size
    sides = [size] if isinstance(size, int) else list(size or ())
    if not sides:
        return _normalised(Native(), "bilinear_opencv", "RGB", preset.mean, preset.std, 255.0)
    if len(sides) > 2:
        raise _cannot("resize_size", size)
    named = str(getattr(getattr(preset, "interpolation", None), "value", "bilinear"))
    interpolations: dict[str, Interpolation] = {"bilinear": "bilinear_pillow", "bicubic": "bicubic_pillow"}
    if named not in interpolations:
        raise _cannot("interpolation", named)
    resize = ShortSide(int(sides[0])) if len(sides) == 1 else Stretch((int(sides[0]), int(sides[1])))
    return _normalised(resize, interpolations[named], "RGB", preset.mean, preset.std, 255.0)


# Keys without `do_` that change sizes.
_GEOMETRY = ("keep_aspect_ratio", "ensure_multiple_of", "crop_pct", "size_divisor", "pad_size", "max_image_size")
# What of an image is not shown to the network.
_CUTS = ("do_center_crop",)
# Processors that bound the long side, and round both up to a multiple.
_ROUNDED_UP = ("MaskFormer", "Mask2Former")
# Processors whose `do_normalize` is false where their file is silent.
_NOT_NORMALISED = ("GLPN", "MobileViT", "SuperPoint")
_UNDERSTOOD = (
    "do_resize",
    "do_rescale",
    "do_normalize",
    "do_convert_rgb",
    "do_flip_channel_order",
    # Of label maps in training, not of images.
    "do_reduce_labels",
)


def _normalised(
    resize: Resize, interpolation: Interpolation, colour: ColourOrder, mean: Any, std: Any, divisor: float
) -> Preprocess:
    means = tuple(float(value) for value in mean) if mean is not None else (0.0,)
    deviations = tuple(float(value) for value in std) if std is not None else (1.0,)
    return Preprocess(resize, interpolation, colour, means, deviations, divisor=divisor)


def _of_size(size: Any) -> Resize:
    """A processor's `size`: a square, height and width, or the short side; a bound of the long one rounds otherwise."""
    if isinstance(size, int):
        return Stretch((size, size))
    if isinstance(size, Mapping):
        sides = {str(key): int(value) for key, value in size.items() if value is not None}
        if set(sides) == {"height", "width"}:
            return Stretch((sides["height"], sides["width"]))
        if set(sides) == {"shortest_edge"}:
            return ShortSide(sides["shortest_edge"])
    raise _cannot("size", size)


def _near(rule: Resize, config: Mapping[str, Any]) -> Resize:
    """The rule with what DPT's processor makes of a size: the aspect kept, and multiples."""
    keeps, multiple = bool(config.get("keep_aspect_ratio")), int(config.get("ensure_multiple_of") or 1)
    if not keeps and multiple == 1:
        return rule
    if not isinstance(rule, Stretch):
        raise _cannot("size", config.get("size"))
    return NearMultiple(multiple, rule.size_hw, keeps)


def _up(config: Mapping[str, Any]) -> Resize:
    """MaskFormer's and Mask2Former's: a short side and the most of the long one, or a size, up to a multiple."""
    size, multiple = config.get("size"), int(config.get("size_divisor", 32) or 1)
    if isinstance(size, Mapping):
        sides = {str(key): int(value) for key, value in size.items() if value is not None}
        if set(sides) == {"shortest_edge", "longest_edge"}:
            return ShortSide(sides["shortest_edge"], sides["longest_edge"], multiple)
        if set(sides) == {"height", "width"}:
            height, width = (-(-side // multiple) * multiple for side in (sides["height"], sides["width"]))
            return Stretch((height, width))
    raise _cannot("size", size)


def _down(config: Mapping[str, Any]) -> Resize:
    """GLPN's: the image's own size, each side down to a multiple."""
    return NearMultiple(int(config.get("size_divisor") or 32), rounding="down")


def _cut(key: str, config: Mapping[str, Any]) -> BadConfigError:
    crop = config.get("crop_size")
    sides = [crop.get("height"), crop.get("width")] if isinstance(crop, Mapping) else [crop, crop]
    size = f"{sides[0]}x{sides[1]}" if all(isinstance(side, int) for side in sides) else "HEIGHTxWIDTH"
    return BadConfigError(
        f"{key} = {config[key]!r} of the library's preprocessing cuts the borders of images off, and predictions "
        f"are of whole images. Say how they are brought to the network: --resize stretch:{size}, or short:SIDE.",
        field="preprocess",
    )


def _cannot(key: str, value: object) -> BadConfigError:
    return BadConfigError(
        f"{key} = {value!r} of the library's preprocessing cannot be expressed. Say what it comes to as a "
        "densecast.Preprocess, or in a spec file.",
        field="preprocess",
    )
