"""Runs every kind of compiled kernel on drawn inputs, and writes what came out: the same bits on every CPU.

    python portable/kernels.py OUT.npz

Inputs are made of numpy's integers and uniform numbers and of the four basic operations, so that every machine makes
the same ones. Where results are to be equal to the last bit, and where within what, is `WITHIN`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.imaging.prepare import prepare
from densecast.kernels import bilinear
from densecast.kernels.assignment import solve
from densecast.kernels.labels import upsample_argmax, upsample_scores
from densecast.kernels.probabilities import mean_argmax
from densecast.kernels.window_sum import add_plain, add_resized, take_mean
from densecast.spec.pose_geometry import PosePlacement
from densecast.spec.preprocess import PoseAffine, Preprocess, Stretch
from densecast.tasks.pose import PoseDecode
from densecast.tasks.pose.postprocess import decode

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "support"))

Arrays = dict[str, npt.NDArray[Any]]
# Of everything that is not named here all bits are the same. What is: the largest difference.
WITHIN: dict[str, float] = {}
_SCENES = ("three", "ten", "close_tags", "wild_tags", "missing_on_empty_ground")


def preprocessed() -> Arrays:
    """Resizing, warping and normalising: `normalise`, `affine_cv4`, and OpenCV's and Pillow's own code around them."""
    image = np.random.RandomState(1).randint(0, 256, (97, 131, 3)).astype(np.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    found: Arrays = {}
    for name in ("bilinear_opencv", "bilinear_pillow", "bicubic_pillow", "nearest"):
        rule = Preprocess(Stretch((64, 96)), interpolation=name, mean=mean, std=std, divisor=255.0)
        found[f"preprocessed, {name}"] = prepare(image, rule)[0]
    pose = Preprocess(PoseAffine(64, 32), mean=mean, std=std, divisor=255.0)
    found["preprocessed, pose"] = prepare(image, pose)[0]
    return found


def labelled() -> Arrays:
    """Class maps and probabilities: `label_*`, `bilinear`, `float32`, `probability_rows`."""
    random = np.random.RandomState(2)
    found: Arrays = {}
    cases = (("once", 19, [(90, 130)]), ("twice", 19, [(64, 96), (97, 131)]), ("few", 2, [(64, 96)]))
    for name, channels, sizes in cases:
        logits = (random.random_sample((channels, 17, 23)) * 8 - 4).astype(np.float32)
        # Equal values everywhere, for ties.
        coarse = np.round(logits).astype(np.float32)
        for align in (False, True):
            found[f"labels, {name}, {align}"] = upsample_argmax(logits, sizes, align_corners=align)
            found[f"labels of ties, {name}, {align}"] = upsample_argmax(coarse, sizes, align_corners=align)
            label, score = upsample_scores(logits, sizes, align_corners=align)
            found |= {f"scores, {name}, {align}, label": label, f"scores, {name}, {align}": score}
        views = [logits, logits[:, :, ::-1]]
        label, score = mean_argmax(views, [sizes] * 2, [False, True])
        found |= {f"mean of views, {name}, label": label, f"mean of views, {name}": score}
    return found


def windowed() -> Arrays:
    """Sums of sliding windows: `window_sum`."""
    planes = np.random.RandomState(3).random_sample((5, 16, 24)).astype(np.float32)
    ring = np.zeros((40, 5, 64), np.float32)
    add_plain(planes, 2, 3, ring)
    resize = bilinear.plan((16, 24), [(32, 48)], False)
    assert resize is not None
    add_resized(planes, resize.late, 4, 8, ring)
    out = np.empty((5, 36, 56), np.float32)
    take_mean(ring, 1, np.full(36, 2, np.float32), np.full(56, 3, np.float32), 2, out)
    return {"windows": out}


def people() -> Arrays:
    """People of drawn maps: `pose_*`, `assignment`."""
    from pose_scenes import SCENES, draw

    found: Arrays = {}
    for name in _SCENES:
        scene = SCENES[name]
        height, width = scene.image_hw
        middle = (round(width / 2), round(height / 2))
        placement = PosePlacement(scene.image_hw, scene.model_hw, middle, (width / 200, height / 200))
        decoded = decode(draw(scene), placement, PoseDecode(**scene.options), scene.scales)
        found |= {f"people, {name}, {part}": getattr(decoded, part) for part in ("xy_px", "score", "person_score")}
    cost = np.random.RandomState(4).randint(0, 9, (40, 40)) / 8
    found["assignment"] = solve(cost)
    return found


def differences(here: Arrays, there: Arrays) -> list[str]:
    """What is not the same, in words."""
    broken = [f"{name}: not made on both" for name in here.keys() ^ there.keys()]
    for name in here.keys() & there.keys():
        left, right = here[name], there[name]
        if left.shape != right.shape or left.dtype != right.dtype:
            broken.append(f"{name}: {left.dtype} {left.shape} here, {right.dtype} {right.shape} there")
        elif left.tobytes() != right.tobytes():
            apart = float(np.abs(left.astype(np.float64) - right.astype(np.float64)).max())
            kind = next((each for each in WITHIN if name.startswith(each)), None)
            if kind is None or not apart <= WITHIN[kind]:
                broken.append(f"{name}: {np.mean(left != right):.2%} of the values differ, by {apart:.2g} at most")
    return broken


def main(out: Path) -> None:
    """Run all of them."""
    made = {**preprocessed(), **labelled(), **windowed(), **people()}
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **made)
    print(f"{len(made)} arrays of {sum(each.size for each in made.values())} values")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
