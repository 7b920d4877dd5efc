"""Write tests/golden/pose_inputs.json: hashes of the network inputs that MMPose's test pipeline makes.

Run in the environment of make_env.sh, which has OpenCV 4: .venv-parity/bin/python parity/make_pose_input_goldens.py

Images are those of make_pose_warp_goldens.py. MMPose's last two steps call two functions of torchvision 0.14 that are
stood in for by the same tensor operations (its `functional.to_tensor` and `functional.normalize`).
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch

import originals
from make_pose_warp_goldens import image

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "pose_inputs.json"
# Height and width, short side, scales from the largest, whether by unbiased data processing.
CASES = (
    ((97, 131), 512, (1,), False),
    ((131, 97), 128, (1,), False),
    ((427, 640), 256, (1,), False),
    ((97, 131), 128, (2, 1, 0.5), False),
    ((97, 131), 512, (1,), True),
    ((131, 97), 128, (1,), True),
    ((97, 131), 128, (2, 1, 0.5), True),
)
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) bytes -> (3, H, W) from 0 to 1, as torchvision does."""
    return torch.from_numpy(image.transpose((2, 0, 1))).contiguous().to(torch.float32).div(255)


def normalize(tensor: torch.Tensor, mean: list[float], std: list[float], inplace: bool = False) -> torch.Tensor:
    """Mean and deviation as float32 tensors, in place, as torchvision does."""
    mean_of, std_of = (torch.as_tensor(values, dtype=tensor.dtype).view(-1, 1, 1) for values in (mean, std))
    return (tensor if inplace else tensor.clone()).sub_(mean_of).div_(std_of)


def main() -> None:
    """Run the pipeline's own classes."""
    assert cv2.__version__.startswith("4."), cv2.__version__
    originals.import_package("mmpose")
    functional: ModuleType = sys.modules["torchvision.transforms.functional"]
    functional.to_tensor, functional.normalize = to_tensor, normalize
    from mmpose.datasets.pipelines import BottomUpGetImgSize, BottomUpResizeAlign, Compose

    steps = [{"type": "ToTensor"}, {"type": "NormalizeTensor", "mean": MEAN, "std": STD}]
    goldens = []
    for image_hw, short_side, scales, unbiased in CASES:
        results = {"img": image(image_hw), "ann_info": {"image_size": np.array([short_side, short_side])}}
        results = BottomUpGetImgSize(sorted(scales, reverse=True), use_udp=unbiased)(results)
        results = BottomUpResizeAlign([Compose([step]) for step in steps], use_udp=unbiased)(results)
        inputs = [array.numpy() for array in results["ann_info"]["aug_data"]]
        goldens.append(
            {
                "image_hw": image_hw,
                "short_side": short_side,
                "scales": scales,
                "unbiased": unbiased,
                "shapes": [list(array.shape) for array in inputs],
                "sha256": [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in inputs],
            }
        )
    GOLDEN.write_text(json.dumps(goldens, indent=1) + "\n", encoding="utf-8")
    print(f"{GOLDEN.relative_to(ROOT)}: {GOLDEN.stat().st_size} bytes")


if __name__ == "__main__":
    main()
