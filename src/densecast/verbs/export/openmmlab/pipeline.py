"""Translates a test pipeline - transforms by name - into a declared `Preprocess`, exactly or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from densecast.errors import BadConfigError
from densecast.spec.augment import Augment
from densecast.spec.preprocess import KeepRatio, Native, Preprocess, Stretch, ToMultiple
from densecast.verbs.export.openmmlab import padding
from densecast.verbs.export.openmmlab.pipeline_state import CURE, State, check_order, done, numbers, only

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
_LOADERS = ("LoadImageFromFile", "LoadImageFromWebcam", "LoadImage", "LoadImageFromNDArray")


def translate(
    transforms: Sequence[Any], normalise: Mapping[str, Any] | None = None
) -> tuple[Preprocess, Augment, tuple[str, ...]]:
    """The preprocessing of a test pipeline, the views that it averages, and notes.

    `normalise` is the table of mmengine's `data_preprocessor`, in whose networks normalisation is; None for pipelines
    that have a `Normalize`.

    Raises:
        BadConfigError: a transform, or a key of one, that cannot be expressed; names it.
    """
    state = State(is_later=normalise is not None)
    for transform in transforms:
        _apply(_named(transform), state)
    if normalise is not None:
        padding.data_preprocessor(dict(normalise), state)
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


def _apply(table: dict[str, Any], state: State) -> None:
    kind = table.pop("type")
    if kind in _WITHOUT_EFFECT:
        return
    if kind in _LOADERS:
        _load(table, kind, state)
    elif kind in ("MultiScaleFlipAug", "TestTimeAug"):
        _views(table, kind, state)
    elif kind == "Resize":
        _resize(table, state)
    elif kind == "ResizeToMultiple":
        _to_multiple(table, state)
    elif kind == "RandomFlip":
        _flip(table)
    elif kind == "Normalize":
        _normalise(table, state)
    elif kind == "Pad":
        padding.pad(table, state)
    else:
        raise BadConfigError(
            f"the test pipeline has the transform {kind!r}, which densecast cannot express. {CURE}", field="config"
        )


def _load(table: dict[str, Any], kind: str, state: State) -> None:
    only(table, kind, "color_type", "color")
    only(table, kind, "imdecode_backend", "cv2", None)
    state.is_float = bool(table.pop("to_float32", False))
    for key in ("file_client_args", "backend_args"):
        table.pop(key, None)
    done(table, kind)


def _views(table: dict[str, Any], kind: str, state: State) -> None:
    """MultiScaleFlipAug: its scales and mirrored views around the transforms of one."""
    transforms = table.pop("transforms", ())
    if not isinstance(transforms, (list, tuple)):
        raise BadConfigError(f"{kind}: transforms must be a list, got {transforms!r:.60}.", field="config")
    inner = [_named(each) for each in transforms]
    scale, ratios = table.pop("img_scale", None), table.pop("img_ratios", None)
    state.flip = bool(table.pop("flip", False))
    only(table, kind, "flip_direction", "horizontal", ["horizontal"])
    done(table, kind)
    if ratios is not None:
        state.ratios = numbers(ratios, f"{kind}: img_ratios")
        if min(state.ratios) <= 0:
            raise BadConfigError(f"{kind}: img_ratios must be above 0, got {ratios!r:.60}.", field="config")
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
    for scale in scales:
        if not isinstance(scale, (list, tuple)) or len(scale) != 2 or not all(isinstance(s, int) and s for s in scale):
            raise BadConfigError(f"MultiScaleFlipAug: a scale is width and height, got {scale!r:.60}.", field="config")
    width, height = scales[0]
    ratios = []
    for each in scales:
        ratio = each[0] / width
        if (int(width * ratio), int(height * ratio)) != (each[0], each[1]):
            raise BadConfigError(f"MultiScaleFlipAug: its scales {scales!r:.80} are no multiples.", field="config")
        ratios.append(ratio)
    return tuple(ratios)


def _resize(table: dict[str, Any], state: State) -> None:
    if state.resize is not None:
        raise BadConfigError("the test pipeline resizes twice, which is not expressed.", field="config")
    check_order("Resize", state)
    only(table, "Resize", "ratio_range", None)
    only(table, "Resize", "multiscale_mode", "range", "value")
    only(table, "Resize", "interpolation", "bilinear")
    only(table, "Resize", "backend", "cv2")
    only(table, "Resize", "scale_factor", None, 1, 1.0)
    only(table, "Resize", "clip_object_border", True, False)
    # In 1.x the key is `scale`, and the aspect is not kept by default.
    is_later = "scale" in table
    scale = table.pop("scale", None) if is_later else table.pop("img_scale", None)
    keep = table.pop("keep_ratio", not is_later)
    least = table.pop("min_size", None)
    done(table, "Resize")
    if isinstance(scale, list) and scale and isinstance(scale[0], (list, tuple)):
        if len(scale) > 1:
            raise BadConfigError(f"Resize has several scales: {scale!r:.80}.", field="config")
        scale = scale[0]
    if scale is None:
        state.resize = Native()
        return
    _check_bytes("Resize", state)
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


def _check_bytes(kind: str, state: State) -> None:
    """Refuse to resize floats: the original rounds none of them, and we round to bytes."""
    if state.is_float:
        raise BadConfigError(
            f"the test pipeline has {kind} behind to_float32=True, which is not expressed: bytes are resized. {CURE}",
            field="config",
        )


def _to_multiple(table: dict[str, Any], state: State) -> None:
    """One more resize, to sides that are multiples."""
    multiple = table.pop("size_divisor", 32)
    only(table, "ResizeToMultiple", "interpolation", None, "bilinear")
    done(table, "ResizeToMultiple")
    sides = multiple if isinstance(multiple, (list, tuple)) else (multiple,)
    if len(set(sides)) != 1 or not isinstance(sides[0], int) or not 1 <= sides[0] <= 4096:
        raise BadConfigError(
            f"ResizeToMultiple: size_divisor must be one number, 1 to 4096, got {multiple!r:.60}.", field="config"
        )
    check_order("ResizeToMultiple", state)
    _check_bytes("ResizeToMultiple", state)
    first = Native() if state.resize is None else state.resize
    if not isinstance(first, (Native, Stretch, KeepRatio)):
        raise BadConfigError(
            f"ResizeToMultiple behind {first.kind} is not expressed: only behind a Resize. {CURE}", field="config"
        )
    state.resize = ToMultiple(sides[0], first)


def _flip(table: dict[str, Any]) -> None:
    """A flip of the test pipeline is done only where the views say so."""
    probability = table.pop("prob", table.pop("flip_ratio", None))
    if probability not in (None, 0, 0.0):
        raise BadConfigError(f"RandomFlip with prob={probability!r} in a test pipeline is random.", field="config")
    only(table, "RandomFlip", "direction", "horizontal")
    done(table, "RandomFlip")


def _normalise(table: dict[str, Any], state: State) -> None:
    if state.mean is not None:
        raise BadConfigError("the test pipeline normalises twice, which is not expressed.", field="config")
    state.mean, state.std = (numbers(table.pop(name, None), f"Normalize: {name}") for name in ("mean", "std"))
    state.colour = "RGB" if table.pop("to_rgb", True) else "BGR"
    done(table, "Normalize")
