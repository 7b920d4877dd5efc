"""Reads what pads images, and what mmengine's networks do to them first: `Pad` and `data_preprocessor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from densecast.errors import BadConfigError
from densecast.spec.preprocess import FitInto, KeepRatio
from densecast.verbs.export.openmmlab.pipeline_state import State, done, numbers


def pad(table: dict[str, Any], state: State) -> None:
    """Right and below; before normalisation the value is a pixel's, after it only 0 is taken, the mean's."""
    if state.is_padded:
        raise BadConfigError("the test pipeline pads twice, which is not expressed.", field="config")
    state.is_padded = True
    if state.is_later:
        state.notes.append("padding is cut off; MMSegmentation 1.x brings it to the image's size with the image")
    size, divisor = table.pop("size", None), table.pop("size_divisor", None)
    value = table.pop("pad_val", 0)
    value = value.get("img", 0) if isinstance(value, Mapping) else value
    table.pop("seg_pad_val", None)
    done(table, "Pad")
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


def _fill(value: Any, state: State) -> tuple[float, ...]:
    """The value that is padded, in 0..255 and the image's own order of channels (RGB)."""
    values = numbers(value, "what is padded")
    if len(values) not in (1, 3):
        raise BadConfigError(f"Pad: pad_val must be one number or three, got {value!r:.60}.", field="config")
    if state.mean is None:
        # The image is still BGR. OpenCV, which pads, takes a single number for the first channel alone, and the
        # second generation gives it a whole number for each.
        is_for_all = state.is_later and isinstance(value, int)
        return values[::-1] if len(values) > 1 else values * 3 if is_for_all else (0.0, 0.0, values[0])
    if any(values):
        raise BadConfigError(f"Pad with pad_val={value!r} after Normalize cannot be expressed; 0 can.", field="config")
    return state.mean if state.colour == "RGB" else state.mean[::-1]


def data_preprocessor(table: dict[str, Any], state: State) -> None:
    """Normalisation inside of an mmengine network."""
    kind = table.pop("type", "SegDataPreProcessor")
    if kind not in ("SegDataPreProcessor", "ImgDataPreprocessor"):
        raise BadConfigError(f"data_preprocessor of type {kind!r} cannot be expressed.", field="config")
    turns = [bool(table.pop(name, False)) for name in ("bgr_to_rgb", "rgb_to_bgr")]
    if state.mean is not None and (table.get("mean") is not None or any(turns)):
        raise BadConfigError(
            "the test pipeline normalises and data_preprocessor does, too, which is not expressed.", field="config"
        )
    if table.get("mean") is not None:
        state.mean, state.std = (
            numbers(table.pop(name, None), f"data_preprocessor.{name}") for name in ("mean", "std")
        )
    if all(turns):
        raise BadConfigError("data_preprocessor turns channels by bgr_to_rgb and by rgb_to_bgr.", field="config")
    state.colour = "RGB" if any(turns) else state.colour
    test = table.pop("test_cfg", None)
    pad = table.pop("pad_val", 0)
    for key in ("mean", "std", "size", "size_divisor", "seg_pad_val", "batch_augments", "non_blocking"):
        table.pop(key, None)  # sizes are those of training
    done(table, "data_preprocessor")
    if test:
        extra = dict(test) if isinstance(test, Mapping) else {"test_cfg": test}
        divisor = extra.pop("size_divisor", None)
        if extra.pop("size", None) is not None or extra or not isinstance(divisor, int) or state.is_padded:
            raise BadConfigError(f"data_preprocessor.test_cfg = {test!r:.80} cannot be expressed.", field="config")
        state.pad_multiple, state.pad_fill = divisor, _fill(pad, state)
