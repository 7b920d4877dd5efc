"""Finds the weights and activations that will lose accuracy in 16 bits or int8, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from densecast.artifact import Artifact
from densecast.backends._inspection import Inspector, TensorPoint, Tensors, layer_of
from densecast.errors import BadArtifactError, UsageError
from densecast.imaging import folder
from densecast.imaging.prepare import prepare
from densecast.imaging.read import read_for
from densecast.runtime.execution import configure

Progress = Callable[[int, int], None]
F32 = npt.NDArray[np.float32]
Kind = Literal["not finite", "near float16's end", "dead channels", "outlier activations", "outlier weights"]

# Tensors are looked at in groups of so many values, so that memory does not grow with the network.
_BUDGET = 64 << 20
# The largest float16 number (IEEE 754 binary16), and how near to it is too near for images that were not seen.
_FLOAT16_MAX = 65504.0
_HEADROOM = 4.0
# A channel is dead that is 0, or one number, in every pixel of every image.
_DEAD = 1e-12
# With 255 steps over a range this many times the spread, a typical value gets less than two steps.
_WIDE = 128.0
# A layer whose output channels' largest weights are this far apart loses the small ones where one range serves all.
_UNEVEN = 100.0
_SHARE_DEAD = 0.02


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding: the layer, the measurement, and the recommended action."""

    kind: Kind
    layer: str
    node: str
    measured: str
    advice: str


class _Range:
    """Running minimum, maximum and spread of one tensor, by channel."""

    def __init__(self, point: TensorPoint) -> None:
        self.point, self.finite = point, True
        self.low = self.high = np.zeros(0)
        self.squares, self.count = 0.0, 0

    def add(self, array: F32) -> None:
        """Add one image's (N, C, h, w)."""
        if not np.isfinite(array).all():
            self.finite = False
            return
        axes = tuple(axis for axis in range(array.ndim) if axis != 1)
        low, high = array.min(axis=axes), array.max(axis=axes)
        self.low = low if not self.count else np.minimum(self.low, low)
        self.high = high if not self.count else np.maximum(self.high, high)
        self.squares += float(np.vdot(array, array))
        self.count += array.size


def diagnose(
    artifact: Artifact | Path | str, images: Sequence[Path | str] | Path | str, *, progress: Progress | None = None
) -> list[Finding]:
    """Analyse a float artifact's weights, and its activations on `images`, files or folders.

    Raises:
        BadArtifactError: not a float artifact.
        UsageError: no images.
        BadImageError, BadShapeError: an image cannot be used.
    """
    import onnx

    from densecast.backends._onnx_inspector import OnnxInspector

    if not isinstance(artifact, Artifact):
        artifact = Artifact.open(artifact)
    if artifact.manifest.kind != "float":
        raise BadArtifactError(f"{artifact.folder} is compiled. Diagnose the exported artifact it was built from.")
    paths = folder.expanded(images)
    if not paths:
        raise UsageError("diagnose needs at least one image.", field="images")
    model = onnx.load(artifact.file("model.onnx"))
    ranges: dict[str, _Range] = {}
    inspectors: dict[tuple[int, ...], Inspector] = {}
    rule = artifact.spec.preprocess_of(artifact.spec.input.name)
    for done, path in enumerate(paths, start=1):
        array, _ = prepare(read_for(path, artifact.spec), rule)
        feed = array[None]
        if feed.shape not in inspectors:
            artifact.spec.input.check(feed)
            inspectors[feed.shape] = OnnxInspector(model, feed.shape, configure().num_threads)
        for point, tensor in _each(inspectors[feed.shape], feed):
            ranges.setdefault(point.name, _Range(point)).add(tensor)
        if progress:
            progress(done, len(paths))
    inspector = next(iter(inspectors.values()))
    return [*_of_weights(inspector.weights()), *_of_activations(ranges.values())]


def _each(inspector: Inspector, feed: npt.NDArray[np.generic]) -> Iterator[tuple[TensorPoint, F32]]:
    """Yield every intermediate map of the network, one group at a time."""
    group: list[TensorPoint] = []
    size = 0
    maps = [point for point in inspector.points if point.kind not in ("Reshape", "Transpose", "Identity")]
    for place, point in enumerate(maps):
        group.append(point)
        size += point.size
        if size >= _BUDGET or place == len(maps) - 1:
            tensors = inspector.run(feed, [each.name for each in group])
            yield from ((each, tensors[each.name]) for each in group if tensors[each.name].ndim >= 2)
            group, size = [], 0


def _of_weights(weights: Tensors) -> Iterator[Finding]:
    for node, array in weights.items():
        flat = np.abs(array.reshape(len(array), -1))
        layer = layer_of(node)
        if not np.isfinite(array).all():
            yield Finding("not finite", layer, node, "weights", "the checkpoint is broken: train or fetch it again")
            continue
        largest = flat.max(axis=1)
        if (dead := int((largest <= _DEAD).sum())) > 0:
            yield Finding(
                "dead channels", layer, node, f"{dead} of {len(flat)} filters are 0", "prune them: they cost time only"
            )
        alive = largest[largest > _DEAD]
        if len(alive) > 1 and alive.max() > _UNEVEN * np.median(alive):
            yield Finding(
                "outlier weights",
                layer,
                node,
                f"channel {int(largest.argmax())} has weights up to {alive.max():.3g}, half of them below "
                f"{np.median(alive):.2g}",
                "keep int8 weights per channel (--weights per_channel), or keep the layer in 16 bits (--exclude)",
            )


def _of_activations(ranges: Iterable[_Range]) -> Iterator[Finding]:
    for seen in ranges:
        point = seen.point
        if not seen.finite:
            yield Finding(
                "not finite", point.layer, point.node, "activations", "compare --locate shows where it starts"
            )
            continue
        largest = float(max(np.abs(seen.low).max(initial=0), np.abs(seen.high).max(initial=0)))
        if largest * _HEADROOM > _FLOAT16_MAX:
            yield Finding(
                "near float16's end",
                point.layer,
                point.node,
                f"values up to {largest:.3g}; float16 ends at {_FLOAT16_MAX:.0f}",
                "build with --half-type bf16",
            )
        dead = int((seen.high - seen.low <= _DEAD).sum())
        if point.kind == "Relu" and dead > max(1, _SHARE_DEAD * len(seen.low)):
            yield Finding(
                "dead channels",
                point.layer,
                point.node,
                f"{dead} of {len(seen.low)} channels never change on these images",
                "look at more images; if they stay dead, prune them",
            )
        spread = (seen.squares / max(seen.count, 1)) ** 0.5
        if spread > 0 and largest > _WIDE * spread:
            yield Finding(
                "outlier activations",
                point.layer,
                point.node,
                f"values up to {largest:.3g}, {largest / spread:.0f} times their spread of {spread:.2g}",
                "calibrate with --calibration-method percentile or histogram, or keep the layer in 16 bits (--exclude)",
            )
