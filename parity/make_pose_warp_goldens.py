"""Run the preprocessing geometry of MMPose 0.29.0 with OpenCV 4.11, and keep what it does.

    python parity/make_pose_warp_goldens.py tests/golden

In the environment of make_env.sh. Writes `pose_warp.json`: for image sizes and scales the input size, centre, extent,
the warp's matrix (as hexadecimal floats) and the first bytes of the warped image's sha256; and the same sha256 for
matrices of other kinds. Images are `numpy.random.RandomState(H * 10007 + W).randint(0, 256, (H, W, 3))`, uint8.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np

import originals

SIZES_HW = (
    (97, 131), (131, 97), (480, 640), (640, 480), (427, 640), (612, 612), (1, 7), (500, 333), (333, 501), (33, 400),
)  # fmt: skip
# Short side, scale, smallest scale.
SETTINGS = ((512, 1, 1), (128, 1, 1), (128, 0.5, 0.5), (128, 2, 0.5), (640, 1, 1))
MATRICES = (
    (((0.8, 0.6, -20.0), (-0.6, 0.8, 40.0)), (97, 131), (120, 150)),
    (((2.5, 0.0, 0.25), (0.0, 2.5, 0.75)), (33, 47), (90, 110)),
    (((0.31, 0.02, 5.0), (-0.01, 0.29, 3.0)), (240, 320), (80, 100)),
    (((-1.0, 0.0, 130.5), (0.0, 1.0, 0.5)), (97, 131), (97, 131)),
    (((1.0, 0.0, 1000.0), (0.0, 1.0, 0.0)), (20, 30), (20, 30)),
    (((0.0, 0.0, 3.0), (0.0, 0.0, 4.0)), (20, 30), (20, 30)),
)


def image(hw: tuple[int, int]) -> np.ndarray:
    """The image of that size."""
    return np.random.RandomState(hw[0] * 10007 + hw[1]).randint(0, 256, (*hw, 3)).astype(np.uint8)


def digest(pixels: np.ndarray) -> str:
    """The first bytes of the sha256 of an image."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:16]


def main() -> None:
    """Write the file."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("out", type=Path)
    out = arguments.parse_args().out
    assert cv2.__version__.startswith("4."), cv2.__version__
    originals.import_package("mmpose")
    from mmpose.core.post_processing import get_affine_transform
    from mmpose.datasets.pipelines.bottom_up_transform import _get_multi_scale_size

    placed = []
    for hw in SIZES_HW:
        for short_side, scale, smallest in SETTINGS:
            pixels = image(hw)
            size_wh, centre, extent = _get_multi_scale_size(
                pixels, np.array([short_side] * 2), scale, smallest, 64, False
            )
            matrix = get_affine_transform(centre, extent, 0, size_wh)
            warped = cv2.warpAffine(pixels, matrix, size_wh)
            placed.append(
                {
                    "image_hw": hw,
                    "short_side": short_side,
                    "scale": scale,
                    "min_scale": smallest,
                    "model_hw": [int(size_wh[1]), int(size_wh[0])],
                    "center_xy": [int(v) for v in centre],
                    "extent_xy": [float(v).hex() for v in extent],
                    "matrix": [[float(v).hex() for v in row] for row in matrix],
                    "sha256": digest(warped),
                }
            )
    free = []
    for matrix, hw, target_hw in MATRICES:
        warped = cv2.warpAffine(image(hw), np.array(matrix), target_hw[::-1])
        free.append({"matrix": matrix, "image_hw": hw, "target_hw": target_hw, "sha256": digest(warped)})
    text = json.dumps({"opencv": cv2.__version__, "placed": placed, "free": free}, separators=(",", ":"))
    (out / "pose_warp.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
