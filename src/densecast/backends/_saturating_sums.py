"""Int8 convolutions as CPUs without VNNI compute them, in numpy: a reference, as slow as it is plain.

`vpmaddubsw` multiplies unsigned activations by signed weights and adds each product to its neighbour's in 16 bits,
which saturate; the pairs are then summed in 32 bits. Neighbours are input channels 0 and 1, 2 and 3 and so on, at one
place of the kernel. OpenVINO's results are these to the last bit, under qemu as Haswell and with AVX-512 without VNNI
(`portable/saturation.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int = npt.NDArray[np.integer]
F64 = npt.NDArray[np.float64]
_LOWEST, _HIGHEST = -(2**15), 2**15 - 1
_TOGETHER = 4


@dataclass(frozen=True, slots=True)
class Slides:
    """How a kernel slides over its input, down and across."""

    strides: tuple[int, int] = (1, 1)
    pads_begin: tuple[int, int] = (0, 0)
    pads_end: tuple[int, int] = (0, 0)
    dilations: tuple[int, int] = (1, 1)


def convolution(
    activations: Int,
    weights: Int,
    slides: Slides = Slides(),
    *,
    zero: int = 0,
    groups: int = 1,
    saturates: bool = True,
) -> F64:
    """(N, C, h, w) of 0..255 and (O, C / groups, kh, kw) of -128..127 -> (N, O, H, W), whole numbers.

    `zero` is the activation that stands for 0, also in the padding; its share is taken off at the end, as engines do.
    With `saturates` False it is the plain convolution.
    """
    batch, channels, height, width = activations.shape
    outputs, own, kernel_h, kernel_w = weights.shape
    (top, left), (bottom, right) = slides.pads_begin, slides.pads_end
    strides, dilations = slides.strides, slides.dilations
    padded = np.full((batch, channels, height + top + bottom, width + left + right), zero, np.float32)
    padded[:, :, top : top + height, left : left + width] = activations
    rows = (padded.shape[2] - dilations[0] * (kernel_h - 1) - 1) // strides[0] + 1
    cols = (padded.shape[3] - dilations[1] * (kernel_w - 1) - 1) // strides[1] + 1

    def places(at: int, count: int, axis: int) -> slice:
        """What the kernel's place `at` sees, along an axis."""
        first = at * dilations[axis]
        return slice(first, first + count * strides[axis], strides[axis])

    result = np.zeros((batch, outputs, rows, cols), np.float64)
    each = outputs // groups
    for group in range(groups):
        inputs = padded[:, group * own : (group + 1) * own]
        factors = weights[group * each : (group + 1) * each].astype(np.float32)
        target = result[:, group * each : (group + 1) * each]
        for y in range(kernel_h):
            for x in range(kernel_w):
                seen = inputs[:, :, places(y, rows, 0), places(x, cols, 1)]
                _add(target, seen, factors[:, :, y, x], saturates=saturates)
    total = weights.reshape(outputs, -1).astype(np.float64).sum(axis=1)
    result -= zero * total[None, :, None, None]
    return result


def _add(target: F64, seen: npt.NDArray[np.float32], factors: npt.NDArray[np.float32], *, saturates: bool) -> None:
    """Add the products at one place of the kernel, in pairs of channels."""
    step = 2 if saturates else seen.shape[1]
    for first in range(0, seen.shape[1], step):
        # Two products of 8 bits are whole numbers of 17 bits, which float32 holds.
        pair = np.einsum("oc,nchw->nohw", factors[:, first : first + step], seen[:, first : first + step])
        target += np.clip(pair, _LOWEST, _HIGHEST) if saturates else pair
