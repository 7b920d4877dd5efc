"""The answer to one test input that is stored with a built model, by which any machine can tell whether it agrees.

The input is a test image made by whole-number arithmetic, equal on every machine, so only outputs are stored: what the
engine answered when the model was built.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.artifact import GOLDEN, Artifact
from densecast.errors import BadArtifactError
from densecast.spec.model import ModelSpec
from densecast.spec.precision import Precision
from densecast.spec.preprocess import Preprocess
from densecast.spec.tensor import Array, Feeds, TensorSpec

F32 = npt.NDArray[np.float32]

# Relative L2 difference that another machine may show: its engine sums in another order, rounds its own 16-bit type,
# and an int8 value next to a step falls on its other side.
TOLERANCE: dict[Precision, float] = {
    "force_float32": 1e-3,
    "force_float16": 5e-2,
    "qint8_mixed_float16": 1e-1,
}
_LEAST_PROBABILITY = 1e-2
_SAMPLES = 4096
# Of one output.
_MOST_BYTES = 64 << 10
_OPEN_SIDE = 128
_OTHER_HW = (97, 139)
Forward = Callable[[Feeds], Feeds]


def error(artifact: Artifact, forward: Forward) -> float | None:
    """The relative L2 difference between what `forward` answers and what is stored; None if nothing is stored.

    Of several outputs the largest; infinite where an answer is not finite, or of another shape.

    Raises:
        BadArtifactError: the stored answer cannot be read.
    """
    if GOLDEN not in artifact.manifest.files:
        return None
    try:
        with artifact.file(GOLDEN).open("rb") as stream:
            # Deflate packs a thousand times at best, so that what this unpacks to is bounded as well.
            count = len(artifact.spec.outputs)
            stored = _unpacked(stream.read(count * _MOST_BYTES), count)
    except (OSError, ValueError, KeyError, EOFError, IndexError, TypeError, zipfile.BadZipFile) as error:
        raise BadArtifactError(f"{artifact.folder}: {GOLDEN} cannot be read ({error}). Build it again.") from None
    outputs = answer(artifact.spec, forward, golden_feeds(artifact.spec))
    # An artifact of before there were several outputs holds the main one's answer alone.
    pairs = list(zip(stored, outputs, strict=False))
    if any(output.shape != shape or not np.isfinite(output).all() for (_, shape), output in pairs):
        return float("inf")
    return max(relative_l2(expected, sampled(output)) for (expected, _), output in pairs)


def answer(spec: ModelSpec, forward: Forward, feeds: Feeds) -> list[F32]:
    """All outputs in the order of the spec, as float32."""
    outputs = forward(feeds)
    return [np.array(outputs[tensor.name], dtype=np.float32) for tensor in spec.outputs]


def least_scale(expected: Array, output: Array) -> float:
    """What errors are relative to at least: of probabilities a hundredth, of other values nothing.

    A trained network that sees none of its objects answers with probabilities of nearly 0, where engines' exponential
    functions agree to some 1e-7 and not to a share of the value.
    """
    is_unit = all(each.size and float(each.min()) >= 0 and float(each.max()) <= 1 for each in (expected, output))
    return _LEAST_PROBABILITY if is_unit else 0.0


def relative_l2(expected: Array, output: Array) -> float:
    """The L2 norm of the difference, relative to that of what is expected; infinite for another shape.

    Of what may be probabilities it is relative to a root mean square of `least_scale` at least.
    """
    if expected.shape != output.shape:
        return float("inf")
    left, right = np.asarray(expected, np.float64), np.asarray(output, np.float64)
    norm, apart = float(np.linalg.norm(left)), float(np.linalg.norm(right - left))
    norm = max(norm, least_scale(left, right) * left.size**0.5)
    return apart / norm if norm else float(apart > 0)


def packed(outputs: list[F32]) -> bytes:
    """Pack outputs as `output` and `shape` for the main one, and `output_1`, `shape_1`, … for the others."""
    arrays: dict[str, Any] = {}
    for number, output in enumerate(outputs):
        suffix = f"_{number}" if number else ""
        arrays |= {f"output{suffix}": sampled(output), f"shape{suffix}": np.array(output.shape)}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _unpacked(content: bytes, count: int) -> list[tuple[F32, tuple[int, ...]]]:
    """Unpack samples and shapes of at most `count` outputs, the main one first."""
    stored = np.load(io.BytesIO(content), allow_pickle=False)
    suffixes = ["", *(f"_{number}" for number in range(1, count) if f"output_{number}" in stored)]
    return [
        (np.asarray(stored[f"output{suffix}"], np.float32), tuple(stored[f"shape{suffix}"].tolist()))
        for suffix in suffixes
    ]


def golden_feeds(spec: ModelSpec) -> Feeds:
    """The test image as network input: of the fixed size, or a small one if sizes are dynamic."""
    return {tensor.name: _golden_feed(tensor, spec.preprocess_of(tensor.name), pattern_image) for tensor in spec.inputs}


def noisy_feeds(spec: ModelSpec) -> Feeds:
    """A noisy image as network input: it shows how borders and fine detail are computed.

    Open sizes are other ones than the test image's, and odd: at 128 a network has nothing to fill up, and an engine may
    take for constant what is not. Of several inputs, whose sizes belong together, they are the test image's.
    """
    near_hw = _OTHER_HW if len(spec.inputs) == 1 else (_OPEN_SIDE, _OPEN_SIDE)
    return {
        tensor.name: _golden_feed(tensor, spec.preprocess_of(tensor.name), noise_image, near_hw)
        for tensor in spec.inputs
    }


def _golden_feed(
    tensor: TensorSpec,
    rule: Preprocess,
    made: Callable[..., npt.NDArray[np.uint8]],
    near_hw: tuple[int, int] = (_OPEN_SIDE, _OPEN_SIDE),
) -> Array:
    batch, channels, height, _ = tensor.typical_shape(near_hw[0])
    width = tensor.typical_shape(near_hw[1])[3]
    planes = np.repeat(made(channels, height, width)[None], batch, axis=0)
    if tensor.dtype == "uint8":
        return planes
    rule = rule.for_channels(channels)
    mean, std = (np.asarray(values, dtype=np.float32).reshape(-1, 1, 1) for values in (rule.mean, rule.std))
    return np.asarray((planes.astype(np.float32) / np.float32(rule.divisor) - mean) / std, dtype=np.float32)


def pattern_image(channels: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """A (C, H, W) test pattern of ramps, blocks and increasing frequency, in whole numbers."""
    c, y, x = np.ogrid[:channels, :height, :width]
    ramp = (3 * x + 5 * y) // (7 + c)
    blocks = 70 * ((x // 19 + y // 23 + c) % 3)
    finer = (x * x + 2 * y * y) // (211 + 40 * c)
    return np.asarray((ramp + blocks + finer) % 256, dtype=np.uint8)


def noise_image(channels: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    """(C, H, W) noise, in whole numbers."""
    c, y, x = np.ogrid[:channels, :height, :width]
    mixed = (x * 7919 + y * 104729 + c * 1299709) % 65521
    return np.asarray((mixed * mixed // 257 + mixed) % 256, dtype=np.uint8)


def sampled(output: F32) -> F32:
    """A limited number of values, evenly spaced over the array."""
    flat = output.reshape(-1)
    places = np.linspace(0, flat.size - 1, min(flat.size, _SAMPLES)).astype(np.int64)
    return np.asarray(flat[places], dtype=np.float32)
