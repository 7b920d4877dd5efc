"""The task: how far away each pixel is, in metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from densecast import Difference, Measure, ModelSpec, TensorSpec
from densecast.errors import BadConfigError, BadGraphError, UsageError

F32 = npt.NDArray[np.float32]
MILLIMETRES = 1000


@dataclass(frozen=True, slots=True)
class DepthDecode:
    """`max_m` is the farthest distance there is."""

    max_m: float = 20.0
    kind: str = "depth"


@dataclass(frozen=True, slots=True)
class DepthMap:
    """`depth_m` (H, W) float32, in metres."""

    depth_m: F32


class DepthTask:
    """Metres from the first output, (1, h, w), at the image's size."""

    name = "depth"
    options_type = DepthDecode
    measure = Measure("relative_difference", "depth_difference")

    def check(self, spec: ModelSpec) -> None:
        """The farthest distance is positive."""
        if spec.decode.max_m <= 0:  # type: ignore[attr-defined]
            raise BadConfigError("max_m must be above 0.", field="decode.max_m")

    def output_channels(self, spec: ModelSpec) -> int:
        """One plane of metres."""
        return 1

    def postprocess(
        self,
        outputs: Sequence[dict[str, Any]],
        views: Sequence[Any],
        spec: ModelSpec,
        frame: str = "image",
        *,
        scores: bool = False,
    ) -> DepthMap:
        """The mean over views, each turned back and resized bilinearly."""
        if scores:
            raise UsageError("depth has no scores.", field="scores")
        maps = []
        for feeds, view in zip(outputs, views, strict=True):
            plane = np.asarray(feeds[spec.output.name], dtype=np.float32)
            if plane.ndim != 3 or plane.shape[0] != 1:
                raise BadGraphError(f"depth is one plane (1, h, w); the network gave {plane.shape}.")
            plane = plane[0][:, ::-1] if view.mirrored else plane[0]
            size_hw = view.placement.image_hw if frame == "image" else view.placement.content_hw
            maps.append(cv2.resize(np.ascontiguousarray(plane), size_hw[::-1], interpolation=cv2.INTER_LINEAR))
        mean = np.mean(maps, axis=0, dtype=np.float32)
        return DepthMap(np.clip(mean, 0, spec.decode.max_m).astype(np.float32))  # type: ignore[attr-defined]

    def target_at(self, target: F32, placement: Any, frame: str) -> F32:
        """Depth maps by nearest neighbour."""
        if frame == "image":
            return target
        height, width = placement.content_hw
        return np.asarray(cv2.resize(target, (width, height), interpolation=cv2.INTER_NEAREST))

    def as_prediction(self, target: F32) -> DepthMap:
        """The map."""
        return DepthMap(target)

    def tensors(self, prediction: DepthMap) -> dict[str, Any]:
        """`depth_m`."""
        return {"depth_m": prediction.depth_m}

    def tensor_specs(self, spec: ModelSpec) -> tuple[TensorSpec, ...]:
        """One float a pixel."""
        from densecast import Dim

        return (TensorSpec("depth_m", "float32", (Dim("H", 1, 1 << 16), Dim("W", 1, 1 << 16))),)

    def difference(self, left: DepthMap, right: DepthMap) -> Difference:
        """The relative difference of each pixel, at most 1, over all pixels."""
        apart = np.abs(left.depth_m - right.depth_m) / np.maximum(np.abs(left.depth_m), 1e-3)
        return Difference(float(np.minimum(apart, 1).sum()), apart.size)

    def draw(self, image: Any, prediction: DepthMap, spec: ModelSpec) -> Any:
        """Near in yellow, far in violet, half over the image."""
        far = spec.decode.max_m  # type: ignore[attr-defined]
        shades = (255 - np.clip(prediction.depth_m / far, 0, 1) * 255).astype(np.uint8)
        colours = cv2.applyColorMap(shades, cv2.COLORMAP_VIRIDIS)[:, :, ::-1]
        return (image // 2 + colours // 2).astype(np.uint8)

    def save(self, path_without_suffix: Path, prediction: DepthMap, spec: ModelSpec) -> Path:
        """`<path>.png`: 16 bits, millimetres."""
        path = path_without_suffix.with_name(f"{path_without_suffix.name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.rint(prediction.depth_m * MILLIMETRES).astype(np.uint16))
        return path

    def sample_outputs(self, outputs: dict[str, Any], spec: ModelSpec) -> dict[str, Any]:
        """A wall one metre away."""
        return {name: np.ones_like(array) for name, array in outputs.items()}
