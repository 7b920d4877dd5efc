"""Write tests/golden/segmentation_pipeline.npz: MMSegmentation's network inputs and labels around a made-up head.

The original's test pipeline, its resizing of logits, its softmax and its averaging over views run unchanged; only what
the network computes is replaced by the logits of tests/support/mmseg_cases.py.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/make_segmentation_goldens.py
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

import mmseg_cases  # noqa: E402

import originals  # noqa: E402

CONFIG = "fcn/fcn_r50-d8_512x1024_40k_cityscapes.py"
GOLDEN = ROOT / "tests" / "golden" / "segmentation_pipeline.npz"


def main() -> None:
    """Run every case."""
    torch.set_num_threads(1)
    model = originals.build("mmseg", CONFIG)
    goldens: dict[str, np.ndarray] = {}
    for name, case in mmseg_cases.CASES.items():
        inputs, mean, labels = _run(model, name, case)
        goldens[f"{name} inputs"] = np.array([hashlib.sha256(array.tobytes()).hexdigest() for array in inputs])
        goldens[f"{name} labels"] = labels
        if not case.labels_resized:
            goldens[f"{name} probability"] = mean.max(axis=0)[::8, ::8]
            best = np.sort(mean, axis=0)
            print(f"{name:24} {len(inputs)} views, closest decision {float((best[-1] - best[-2]).min()):.1e}")
    np.savez_compressed(GOLDEN, **goldens)
    print(f"{GOLDEN.relative_to(ROOT)}: {GOLDEN.stat().st_size} bytes")


def _run(model: Any, name: str, case: mmseg_cases.Case) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Network inputs (3, h, w) in order, mean probabilities (C, H, W), and labels (H, W)."""
    from mmcv import Config
    from mmseg.apis import inference_segmentor

    package = importlib.util.find_spec("mmseg")
    assert package is not None and package.origin is not None
    config = Config.fromfile(str(Path(package.origin).parent / ".mim" / "configs" / CONFIG))
    views = config.data.test.pipeline[1]
    views.img_scale, views.flip = case.scale_wh, case.flip
    if case.ratios != (1.0,):
        views.img_ratios = list(case.ratios)
    views.transforms[0].keep_ratio = case.keep_ratio
    model.cfg = config

    inputs: list[np.ndarray] = []
    probabilities: list[torch.Tensor] = []

    def head(features: torch.Tensor, *_: object) -> torch.Tensor:
        inputs.append(features[0].numpy())
        logits = mmseg_cases.head(name, len(inputs) - 1, (features.shape[2], features.shape[3]))
        return torch.from_numpy(logits)[None]

    def keep(*arguments: object) -> torch.Tensor:
        probabilities.append(type(model).inference(model, *arguments))
        return probabilities[-1].clone()

    model.extract_feat, model.decode_head.forward_test, model.inference = (lambda image: image), head, keep
    labels = inference_segmentor(model, np.ascontiguousarray(mmseg_cases.image(name)[:, :, ::-1]))[0]
    if case.labels_resized:
        # What the deployment's patched test does: the graph ends in the argmax, OpenCV brings labels to the image.
        first = inputs.pop()
        with torch.no_grad():
            at_input = model.encode_decode(torch.from_numpy(first)[None], None).argmax(dim=1)[0].numpy()
        height, width = case.image_hw
        labels = cv2.resize(at_input.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    mean = torch.stack(probabilities).mean(dim=0)[0].numpy()
    return inputs, mean, labels.astype(np.uint8)


if __name__ == "__main__":
    main()
