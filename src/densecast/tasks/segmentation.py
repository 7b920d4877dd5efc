"""Semantic segmentation: logits to class indices, and pictures of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast.core import files
from densecast.core.errors import BadGraphError
from densecast.core.geometry import Placement
from densecast.core.prediction import Prediction, SegmentationMap
from densecast.core.spec import Frame, ModelSpec
from densecast.core.tensor import Array
from densecast.kernels.labels import upsample_argmax

_OPACITY = 0.5


def decode(output: Array, placement: Placement, spec: ModelSpec, frame: Frame = "image") -> SegmentationMap:
    """(C, h, w) logits -> one class a pixel of the image, or of the part of the network's input that shows it.

    Raises:
        BadGraphError: the output is not a map of `len(spec.labels)` classes.
    """
    if output.ndim != 3 or output.shape[0] != len(spec.labels):
        raise BadGraphError(
            f"{spec.name}: expected logits ({len(spec.labels)}, h, w), one plane a label; "
            f"the network gave {output.shape}."
        )
    sizes = [placement.model_hw] if frame == "network" else [placement.model_hw, placement.image_hw]
    logits = np.asarray(output, dtype=np.float32)
    return SegmentationMap(upsample_argmax(logits, sizes, align_corners=spec.decode.align_corners))


def draw(image: npt.NDArray[np.uint8], prediction: Prediction, spec: ModelSpec) -> npt.NDArray[np.uint8]:
    """(H, W, 3) RGB with each class but the first in its colour, half transparent, outlined."""
    assert isinstance(prediction, SegmentationMap)
    class_id = prediction.class_id
    colours = np.asarray(spec.palette, dtype=np.float32)[class_id]
    shown = (class_id > 0)[..., None] * np.float32(_OPACITY)
    blended = image * (1 - shown) + colours * shown
    edge = np.zeros(class_id.shape, dtype=bool)
    edge[:, 1:] |= class_id[:, 1:] != class_id[:, :-1]
    edge[1:] |= class_id[1:] != class_id[:-1]
    blended[edge] = 255
    return blended.astype(np.uint8)


def save(path_without_suffix: Path, prediction: Prediction) -> Path:
    """Write `<path>.png`: 8 bits a pixel, the class index."""
    import cv2

    assert isinstance(prediction, SegmentationMap)
    path = path_without_suffix.with_name(path_without_suffix.name + ".png")
    done, data = cv2.imencode(".png", prediction.class_id)
    assert done, "an 8-bit array always encodes"
    files.write_bytes(path, data.tobytes())
    return path
