"""Images, test pipelines and head outputs that follow from a case's name: the input of MMSegmentation's golden results.

Everything is made of whole numbers, so that it is the same on every machine and in every version of numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CLASSES = 19


@dataclass(frozen=True)
class Case:
    """An image resized to `scale_wh`, or as far as that fits, times each of `ratios`; heads are `stride` times smaller.

    With `labels_resized` the argmax comes before the resize to the image, as in the magicmind deployment.
    """

    image_hw: tuple[int, int]
    scale_wh: tuple[int, int]
    keep_ratio: bool
    ratios: tuple[float, ...] = (1.0,)
    flip: bool = False
    stride: int = 8
    labels_resized: bool = False


CASES = {
    "fits": Case((97, 131), (256, 128), keep_ratio=True),
    "portrait": Case((131, 83), (512, 96), keep_ratio=True, stride=4),
    "stretched": Case((97, 131), (256, 128), keep_ratio=False),
    "native size": Case((96, 192), (192, 96), keep_ratio=True),
    "made smaller": Case((211, 300), (160, 96), keep_ratio=True, stride=4),
    "flip": Case((97, 131), (256, 128), keep_ratio=True, flip=True),
    "ratios": Case((97, 131), (256, 128), keep_ratio=True, ratios=(0.5, 0.75, 1.0, 1.5)),
    "ratios and flip": Case((90, 123), (256, 128), keep_ratio=False, ratios=(1.0, 1.25), flip=True),
    "magicmind": Case((97, 131), (256, 128), keep_ratio=False, labels_resized=True),
    "magicmind made smaller": Case((211, 300), (160, 96), keep_ratio=False, stride=4, labels_resized=True),
}


def image(name: str) -> npt.NDArray[np.uint8]:
    """(H, W, 3) RGB: patches with a gradient and noise over them."""
    height, width = CASES[name].image_hw
    rng = np.random.default_rng([height, width])
    patches = rng.integers(0, 160, (height // 9 + 1, width // 9 + 1, 3))
    coarse = patches.repeat(9, axis=0).repeat(9, axis=1)[:height, :width]
    slope = np.arange(width)[None, :, None] * 60 // width
    return (coarse + slope + rng.integers(0, 36, coarse.shape)).astype(np.uint8)


def head(name: str, number: int, input_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
    """(C, h, w) logits for view `number`, whose network input has `input_hw` pixels; multiples of 1/64."""
    size_hw = tuple(-(-side // CASES[name].stride) for side in input_hw)
    rng = np.random.default_rng([number, *input_hw])
    return (rng.integers(-512, 512, (CLASSES, *size_hw)) / 64).astype(np.float32)
