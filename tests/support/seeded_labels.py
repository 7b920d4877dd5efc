"""Label maps and noisy predictions that follow from a case's name: the input of the metric's golden numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint8]

SIZES_HW = {"cityscapes": ((61, 83), (64, 128), (48, 80)), "voc": ((97, 75), (40, 55))}
CLASSES = {"cityscapes": 19, "voc": 21}
VARIANTS = ("plain", "absent", "ignored_image")


@dataclass(frozen=True)
class Pair:
    """(H, W) ground truth, with 255 for pixels that do not count, and (H, W) prediction."""

    target: Labels
    predicted: Labels


def names() -> tuple[str, ...]:
    return tuple(f"{dataset} {variant}" for dataset in SIZES_HW for variant in VARIANTS)


def pairs(name: str) -> tuple[Pair, ...]:
    """`absent`: the last four classes are nowhere in the ground truth, the last is predicted once.

    `ignored_image`: no pixel of the second image counts.
    """
    dataset, variant = name.split()
    classes = CLASSES[dataset]
    there = classes - 4 if variant == "absent" else classes
    rng = np.random.default_rng([there, len(variant)])
    made = []
    for index, (height, width) in enumerate(SIZES_HW[dataset]):
        blocks = rng.integers(0, there, (height // 8 + 1, width // 8 + 1), dtype=np.uint8)
        target = blocks.repeat(8, axis=0).repeat(8, axis=1)[:height, :width].copy()
        wrong = rng.integers(0, there, target.shape, dtype=np.uint8)
        predicted = np.where(rng.random(target.shape) < 0.6, target, wrong)
        if variant == "absent" and index == 0:
            predicted[:5, :5] = classes - 1
        target[rng.random(target.shape) < 0.1] = 255
        if variant == "ignored_image" and index == 1:
            target[:] = 255
        made.append(Pair(target, predicted))
    return tuple(made)
