"""Runs single int8 convolutions on OpenVINO: what CPUs without VNNI give has to be what the reference in numpy says.

    python portable/saturation.py OUT.npz

Weights take all 8 bits and activations are drawn over their whole range, so that most sums saturate where they can.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.backends._saturating_sums import Slides, convolution

Arrays = dict[str, npt.NDArray[Any]]
_SIDES = (9, 11)


@dataclass(frozen=True)
class Case:
    """One convolution: channels in and out, side of the kernel, and the activation that stands for 0."""

    channels: int
    outputs: int
    kernel: int = 3
    pad: int = 0
    stride: int = 1
    groups: int = 1
    zero: int = 0

    @property
    def slides(self) -> Slides:
        """The same in the reference's words."""
        pads = (self.pad, self.pad)
        return Slides((self.stride, self.stride), pads, pads)


CASES = {
    "3x3": Case(16, 16),
    "1x1": Case(32, 24, 1),
    "first layer": Case(3, 8),
    "odd channels": Case(7, 5),
    "one output": Case(64, 1, 1),
    "padded": Case(16, 16, pad=1),
    "signed": Case(16, 16, zero=128),
    "asymmetric, padded": Case(16, 16, pad=1, zero=100),
    "strided": Case(12, 16, pad=1, stride=2),
    "by channel": Case(16, 16, pad=1, groups=16),
    "in groups": Case(16, 16, pad=1, groups=2),
}


def drawn(name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    """Activations of 0..255 and weights of -127..127."""
    case, random = CASES[name], np.random.RandomState(sum(map(ord, name)))
    activations = random.randint(0, 256, (1, case.channels, *_SIDES))
    shape = (case.outputs, case.channels // case.groups, case.kernel, case.kernel)
    return activations, random.randint(-127, 128, shape).astype(np.int8)


def computed(name: str) -> npt.NDArray[np.float32]:
    """What OpenVINO gives on this CPU."""
    import openvino as ov
    from openvino import opset13 as op

    case = CASES[name]
    activations, weights = drawn(name)
    image = op.parameter(list(activations.shape), np.float32)
    low, high = (op.constant(np.full((1, 1, 1, 1), end - case.zero, np.float32)) for end in (0, 255))
    quantised = op.fake_quantize(image, low, high, low, high, 256)
    ones = op.constant(np.ones((case.outputs, 1, 1, 1), np.float32))
    factors = op.multiply(op.convert(op.constant(weights), np.float32), ones)
    slide = ([case.stride] * 2, [case.pad] * 2, [case.pad] * 2, [1, 1])
    if case.groups == 1:
        result = op.convolution(quantised, factors, *slide)
    else:
        split = [case.groups, case.outputs // case.groups, *weights.shape[1:]]
        factors = op.reshape(factors, op.constant(np.array(split, np.int64)), False)
        result = op.group_convolution(quantised, factors, *slide)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    model = ov.Core().compile_model(ov.Model([result], [image], "one"), "CPU", settings)
    return np.array(model([(activations - case.zero).astype(np.float32)])[0])


def broken(there: Arrays, *, saturates: bool) -> list[str]:
    """The cases that another CPU does not compute as the reference says."""
    found = []
    for name, case in CASES.items():
        wanted = convolution(*drawn(name), case.slides, zero=case.zero, groups=case.groups, saturates=saturates)
        if not np.array_equal(wanted, there[name]):
            apart = np.mean(wanted != there[name])
            found.append(f"{name}: {apart:.1%} of the sums are not the reference's")
    return found


def main(out: Path) -> None:
    """Run all cases."""
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **{name: computed(name) for name in CASES})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
