"""Weights, images and samples that follow from a name alone, on every machine and numpy.

A tensor's seed is the CRC-32 of its key. The bits are PCG64's raw output (numpy keeps bit generators' streams
stable, not the distributions drawn from them); the upper 24 bits of every 32 make a float32 in [0, 1).

| key                         | values                                                      |
|-----------------------------|-------------------------------------------------------------|
| `*.num_batches_tracked`     | 0                                                           |
| `*.running_var`             | U(0.5, 1.5)                                                 |
| `*.running_mean`, `*.bias`  | U(-0.2, 0.2)                                                |
| 1-D weight (batch norm)     | U(0.4, 1.2); U(0.1, 0.3) before a sum                       |
| other weights               | U(-b, b), b = sqrt(6 / fan-in) (He et al. 2015)             |

Before a sum: keys with `.bn2.`, `.bn3.` (the ends of residual blocks) and `.fuse_layers.`; with the wider
range, activations grow a hundred thousand fold through HRNet, and a softmax at its end sees one class only.
With U(0.5, 1.5) MobileNetV2 runs into its ReLU6 so often that float32 is 4e-5 away from float64; so it is
2e-6 at most. In a transposed convolution (key below `deconv_layers`), kernel 4 and stride 2, a quarter of the
kernel reaches an output.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

_SAMPLES = 1200


def uniform(name: str, shape: tuple[int, ...], low: float, high: float) -> npt.NDArray[np.float32]:
    count = int(np.prod(shape))
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw((count + 1) // 2)
    bits = raw.astype("<u8").view("<u4")[:count] >> np.uint32(8)
    unit = bits.astype(np.float32) * np.float32(2.0**-24)
    return (np.float32(low) + np.float32(high - low) * unit).reshape(shape)


def tensor(key: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32] | npt.NDArray[np.int64]:
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if key.endswith(("running_mean", "bias")):
        return uniform(key, shape, -0.2, 0.2)
    if key.endswith("running_var"):
        return uniform(key, shape, 0.5, 1.5)
    if len(shape) == 1:
        added = any(part in key for part in (".bn2.", ".bn3.", ".fuse_layers."))
        return uniform(key, shape, 0.1, 0.3) if added else uniform(key, shape, 0.4, 1.2)
    transposed = ".deconv_layers." in key
    fan_in = shape[0] * shape[2] * shape[3] // 4 if transposed else int(np.prod(shape[1:]))
    bound = float(np.sqrt(6 / fan_in))
    return uniform(key, shape, -bound, bound)


def state(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    return {key: tensor(key, shape) for key, shape in shapes.items()}


def image(size_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
    """(1, 3, *size_hw), the range of a normalised photo."""
    return uniform(f"image {size_hw[0]}x{size_hw[1]}", (1, 3, *size_hw), -2.0, 2.0)


def sample(logits: np.ndarray) -> npt.NDArray[np.float32]:
    """1200 values spread evenly over the flat array, first and last included."""
    return logits.ravel()[np.linspace(0, logits.size - 1, _SAMPLES).astype(np.int64)]
