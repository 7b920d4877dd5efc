"""Compare sliding windows with the original package's `slide_inference`: image in, classes out, on the same weights.

The original's `inference_segmentor` with `test_cfg.mode = "slide"` against densecast's windows, network and labelling
in bands; exit 1 where a clear pixel gets another class.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/check_slide.py
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import originals
from check_labels import CLEAR, PUBLISHED, SCALE_WH, drawn_image, original_result, seeded
from densecast.imaging.windows import windows_of
from densecast.spec.augment import Augment
from densecast.spec.preprocess import KeepRatio
from densecast.spec.slide import Slide
from densecast.spec.tensor import Dim, TensorSpec
from densecast.tasks.segmentation.windows import Labelling

NAMES = ("fcn_r50_d8_voc", "ocrnet_hr18s", "deeplabv3_r101_d16_mg124")
# Windows and strides that divide neither each other nor the images, and an image whose sides are below a window's.
SLIDES = (Slide((129, 161), (86, 97)), Slide((300, 150), (211, 149)))
SIZES_HW = ((97, 131), (96, 192), (211, 173))


def our_result(model: torch.nn.Module, name: str, image: npt.NDArray[np.uint8], slide: Slide) -> npt.NDArray[np.uint8]:
    """(H, W) labels by the zoo entry's preparation in windows, the network, and the labelling in bands."""
    entry: Any = importlib.import_module(f"densecast.zoo.{name}").ENTRY
    sides = Dim("H", 1, 4096), Dim("W", 1, 4096)
    spec = replace(
        entry.spec,
        slide=slide,
        preprocess=replace(entry.spec.preprocess, resize=KeepRatio(*SCALE_WH)),
        inputs=(TensorSpec("image", "float32", (1, 3, *sides)),),
    )
    feeds, views = windows_of(image, spec.input, spec, Augment(), 3)
    labelling = Labelling(views, spec, "image", scores=False)
    for feed in feeds:
        with torch.no_grad():
            outputs = model(torch.from_numpy(np.asarray(feed["image"]))[None])[0].numpy()
        labelling.add({spec.output.name: outputs})
    labels: npt.NDArray[np.uint8] = labelling.prediction().class_id
    return labels


def check(name: str) -> bool:
    """Compare one network at every window and size, print a line for each; False where a clear pixel differs."""
    published = PUBLISHED[name]
    original: Any = originals.build(published.package, published.config)
    shapes = {key: tuple(tensor.shape) for key, tensor in original.state_dict().items()}
    state = {key: torch.from_numpy(array) for key, array in seeded.state(shapes).items()}
    original.load_state_dict(state, strict=True)
    ours = published.build().eval()
    ours.load_state_dict(published.module().clean(state), strict=True)
    passed = True
    for slide in SLIDES:
        original.test_cfg = originals.slide_config(slide.crop_hw, slide.stride_hw)
        for size_hw in SIZES_HW:
            image = drawn_image(size_hw)
            wanted, probability = original_result(original, published, image, (1.0,), False)
            got = our_result(ours, name, image, slide)
            best = np.sort(probability, axis=0)
            clear = best[-1] - best[-2] > CLEAR
            other = got != wanted
            print(
                f"{name:26} {slide!s:24} {size_hw[0]:4}x{size_hw[1]:<4} {wanted.size:8} {int((~clear).sum()):6} "
                f"{int(other.sum()):6} {int((other & clear).sum()):6}"
                f"  {'FAILED' if (other & clear).any() else 'ok'}  ({len(np.unique(wanted))} classes)",
                flush=True,
            )
            passed &= not (other & clear).any()
    return passed


def main() -> int:
    """Compare the networks named on the command line, by default three; the exit status."""
    torch.set_num_threads(1)
    print(f"{'network':26} {'windows':24} {'image':>9} {'pixels':>8} {'near':>6} {'other':>6} {'clear':>6}")
    return 0 if all([check(name) for name in sys.argv[1:] or NAMES]) else 1


if __name__ == "__main__":
    sys.exit(main())
