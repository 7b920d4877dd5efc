"""Translates a test pipeline - transforms by name - into a declared `Preprocess`, exactly or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from densecast.errors import BadConfigError
from densecast.spec.augment import Augment
from densecast.spec.preprocess import ColourOrder, FitInto, KeepRatio, Native, Preprocess, Resize, Stretch

# A limit on the long side that none reaches: only the short side counts.
_NO_LIMIT = 1 << 16
# What brings no pixel anywhere: names, layouts of tensors, ground truth.
_WITHOUT_EFFECT = (
    "ImageToTensor",
    "DefaultFormatBundle",
    "Collect",
    "ToTensor",
    "LoadAnnotations",
    "PackSegInputs",
    "ToFloatTensor",
)
_CURE = "State the preprocessing yourself: --resize, --mean and --std, or --spec."
_LOADERS = ("LoadImageFromFile", "LoadImageFromWebcam", "LoadImage", "LoadImageFromNDArray")


@dataclass(slots=True)
class _State:
    """What the transforms read so far have made of an image."""

    resize: Resize | None = None
    colour: ColourOrder = "BGR"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pad_multiple: int = 1
    pad_fill: tuple[float, ...] = (0.0,)
    ratios: tuple[float, ...] = (1.0,)
    flip: bool = False
    notes: list[str] = field(default_factory=list)


def translate(
    transforms: Sequence[Any], normalise: Mapping[str, Any] | None = None
) -> tuple[Preprocess, Augment, tuple[str, ...]]:
    """The preprocessing of a test pipeline, the views that it averages, and notes.

    `normalise` is the table of mmengine's `data_preprocessor`, in whose networks normalisation is; None for pipelines
    that have a `Normalize`.

    Raises:
        BadConfigError: a transform, or a key of one, that cannot be expressed; names it.
    """
    state = _State()
    for transform in transforms:
        _apply(_named(transform), state)
    if normalise is not None:
        _data_preprocessor(dict(normalise), state)
    if state.mean is None or state.std is None:
        state.mean, state.std = (0.0,), (1.0,)
    resize = Native() if state.resize is None else state.resize
    preprocess = Preprocess(
        resize,
        "bilinear_opencv",
        state.colour,
        state.mean,
        state.std,
        use_exif=True,  # OpenCV reads photographs upright
        pad_multiple=state.pad_multiple,
        pad_fill=state.pad_fill,
    )
    return preprocess, Augment(state.ratios, state.flip), tuple(state.notes)


def _named(transform: Any) -> dict[str, Any]:
    if not isinstance(transform, Mapping) or not isinstance(transform.get("type"), str):
        raise BadConfigError(f"a transform of the test pipeline has no type: {transform!r:.80}.", field="config")
    return dict(transform)


def _apply(table: dict[str, Any], state: _State) -> None:
    kind = table.pop("type")
    if kind in _WITHOUT_EFFECT:
        return
    if kind in _LOADERS:
        _load(table, kind)
    elif kind in ("MultiScaleFlipAug", "TestTimeAug"):
        _views(table, kind, state)
    elif kind == "Resize":
        _resize(table, state)
    elif kind == "RandomFlip":
        _flip(table)
    elif kind == "Normalize":
        _normalise(table, state)
    elif kind == "Pad":
        _pad(table, state)
    else:
        raise BadConfigError(
            f"the test pipeline has the transform {kind!r}, which densecast cannot express. {_CURE}", field="config"
        )


def _load(table: dict[str, Any], kind: str) -> None:
    _only(table, kind, "color_type", "color")
    _only(table, kind, "imdecode_backend", "cv2", None)
    table.pop("to_float32", None)
    for key in ("file_client_args", "backend_args"):
        table.pop(key, None)
    _done(table, kind)


def _views(table: dict[str, Any], kind: str, state: _State) -> None:
    """MultiScaleFlipAug: its scales and mirrored views around the transforms of one."""
    inner = [_named(each) for each in table.pop("transforms", ())]
    scale, ratios = table.pop("img_scale", None), table.pop("img_ratios", None)
    state.flip = bool(table.pop("flip", False))
    _only(table, kind, "flip_direction", "horizontal", ["horizontal"])
    _done(table, kind)
    if ratios is not None:
        state.ratios = tuple(float(each) for each in (ratios if isinstance(ratios, (list, tuple)) else [ratios]))
    if isinstance(scale, list):
        first = scale[0] if scale else None
        if any(each != first for each in scale):
            state.ratios = _relative(scale)
        scale = first
    state.flip = state.flip and any(each["type"] == "RandomFlip" for each in inner)
    for each in inner:
        if each["type"] == "Resize":
            if "img_scale" in each and each["img_scale"] is not None:
                raise BadConfigError(f"{kind} and its Resize both say img_scale.", field="config")
            each["img_scale"] = scale
        _apply(each, state)


def _relative(scales: Sequence[Any]) -> tuple[float, ...]:
    """Several scales as ratios of the first."""
    (width, height), *_ = (tuple(each) for each in scales)
    ratios = []
    for each in scales:
        ratio = each[0] / width
        if (int(width * ratio), int(height * ratio)) != (each[0], each[1]):
            raise BadConfigError(f"MultiScaleFlipAug: its scales {scales!r:.80} are no multiples.", field="config")
        ratios.append(ratio)
    return tuple(ratios)


def _resize(table: dict[str, Any], state: _State) -> None:
    if state.resize is not None:
        raise BadConfigError("the test pipeline resizes twice, which is not expressed.", field="config")
    _only(table, "Resize", "ratio_range", None)
    _only(table, "Resize", "multiscale_mode", "range", "value")
    _only(table, "Resize", "interpolation", "bilinear")
    _only(table, "Resize", "backend", "cv2")
    _only(table, "Resize", "scale_factor", None, 1, 1.0)
    _only(table, "Resize", "clip_object_border", True, False)
    # In 1.x the key is `scale`, and the aspect is not kept by default.
    is_later = "scale" in table
    scale = table.pop("scale", None) if is_later else table.pop("img_scale", None)
    keep = table.pop("keep_ratio", not is_later)
    least = table.pop("min_size", None)
    _done(table, "Resize")
    if isinstance(scale, list) and scale and isinstance(scale[0], (list, tuple)):
        if len(scale) > 1:
            raise BadConfigError(f"Resize has several scales: {scale!r:.80}.", field="config")
        scale = scale[0]
    if scale is None:
        state.resize = Native()
        return
    sides = (scale, scale) if isinstance(scale, int) else scale
    good = isinstance(sides, (list, tuple)) and len(sides) == 2 and all(isinstance(s, int) and s > 0 for s in sides)
    if not good:
        raise BadConfigError(f"Resize: the scale must be width and height, got {scale!r:.60}.", field="config")
    if not keep:
        state.resize = Stretch((sides[1], sides[0]))
    elif least is not None:
        state.resize = KeepRatio(_NO_LIMIT, max(least, min(sides)))
    else:
        state.resize = KeepRatio(max(sides), min(sides))


def _flip(table: dict[str, Any]) -> None:
    """A flip of the test pipeline is done only where the views say so."""
    probability = table.pop("prob", table.pop("flip_ratio", None))
    if probability not in (None, 0, 0.0):
        raise BadConfigError(f"RandomFlip with prob={probability!r} in a test pipeline is random.", field="config")
    _only(table, "RandomFlip", "direction", "horizontal")
    _done(table, "RandomFlip")


def _normalise(table: dict[str, Any], state: _State) -> None:
    if state.mean is not None:
        raise BadConfigError("the test pipeline normalises twice, which is not expressed.", field="config")
    state.mean, state.std = _numbers(table, "mean"), _numbers(table, "std")
    state.colour = "RGB" if table.pop("to_rgb", True) else "BGR"
    _done(table, "Normalize")


def _pad(table: dict[str, Any], state: _State) -> None:
    """Right and below; before normalisation the value is a pixel's, after it only 0 is taken, the mean's."""
    size, divisor = table.pop("size", None), table.pop("size_divisor", None)
    value = table.pop("pad_val", 0)
    value = value.get("img", 0) if isinstance(value, Mapping) else value
    table.pop("seg_pad_val", None)
    _done(table, "Pad")
    fill = _fill(value, state)
    if divisor is not None and size is None and isinstance(divisor, int) and 0 < divisor <= 4096:
        state.pad_multiple, state.pad_fill = divisor, fill
        return
    square = state.resize
    if (
        isinstance(size, (list, tuple))
        and isinstance(square, KeepRatio)
        and square.long_side == square.short_side == size[0] == size[-1]
    ):
        state.resize = FitInto((size[0], size[1]), fill)
        return
    raise BadConfigError(
        f"Pad to size={size!r} cannot be expressed behind this Resize: only a square one, or size_divisor, can.",
        field="config",
    )


def _fill(value: Any, state: _State) -> tuple[float, ...]:
    """The value that is padded, in 0..255 and the image's own order of channels (RGB)."""
    values = tuple(float(each) for each in (value if isinstance(value, (list, tuple)) else [value]))
    if state.mean is None:
        # The image is still BGR, and OpenCV, which pads, takes a single number for the first channel alone.
        return values[::-1] if len(values) > 1 else (0.0, 0.0, values[0])
    if any(values):
        raise BadConfigError(f"Pad with pad_val={value!r} after Normalize cannot be expressed; 0 can.", field="config")
    return state.mean if state.colour == "RGB" else state.mean[::-1]


def _data_preprocessor(table: dict[str, Any], state: _State) -> None:
    """Normalisation inside of an mmengine network."""
    kind = table.pop("type", "SegDataPreProcessor")
    if kind not in ("SegDataPreProcessor", "ImgDataPreprocessor"):
        raise BadConfigError(f"data_preprocessor of type {kind!r} cannot be expressed.", field="config")
    if table.get("mean") is not None:
        state.mean, state.std = _numbers(table, "mean"), _numbers(table, "std")
    turned = bool(table.pop("bgr_to_rgb", False)) or bool(table.pop("rgb_to_bgr", False))
    state.colour = "RGB" if turned else "BGR"
    test = table.pop("test_cfg", None)
    for key in ("mean", "std", "size", "size_divisor", "pad_val", "seg_pad_val", "batch_augments", "non_blocking"):
        table.pop(key, None)  # sizes and padding are those of training
    _done(table, "data_preprocessor")
    if test is not None:
        extra = dict(test)
        divisor = extra.pop("size_divisor", None)
        if extra.pop("size", None) is not None or extra or not isinstance(divisor, int):
            raise BadConfigError(f"data_preprocessor.test_cfg = {test!r:.80} cannot be expressed.", field="config")
        state.pad_multiple, state.pad_fill = divisor, _fill(0, state)


def _numbers(table: dict[str, Any], name: str) -> tuple[float, ...]:
    value = table.pop(name, None)
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, (int, float)) for each in value):
        raise BadConfigError(f"Normalize: {name} must be numbers, got {value!r:.60}.", field="config")
    return tuple(float(each) for each in value)


def _only(table: dict[str, Any], kind: str, name: str, *allowed: Any) -> None:
    if name in table and (value := table.pop(name)) not in allowed:
        raise BadConfigError(
            f"{kind} has {name}={value!r:.60}, and only {allowed[0]!r} can be expressed. {_CURE}", field="config"
        )


def _done(table: dict[str, Any], kind: str) -> None:
    if table:
        names = ", ".join(f"{name}={value!r:.40}" for name, value in table.items())
        raise BadConfigError(f"{kind} has keys that densecast cannot express: {names}. {_CURE}", field="config")
