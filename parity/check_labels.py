"""Compare whole predictions with the original package's: image in, classes out, on the same weights.

The original's `inference_segmentor` (its resizing, normalisation, network, two upsamplings, softmax, averaging of
views) against densecast's preparation, network and label kernel; exit 1 where a clear pixel gets another class.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/check_labels.py
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "networks"), str(ROOT / "tests" / "support")]

import seeded  # noqa: E402
from published_networks import PUBLISHED, Published  # noqa: E402

import originals  # noqa: E402
from densecast.imaging.prepare import prepare  # noqa: E402
from densecast.spec.augment import View  # noqa: E402
from densecast.spec.preprocess import KeepRatio  # noqa: E402
from densecast.tasks.segmentation import postprocess  # noqa: E402

# A pixel is clear where the original's two highest probabilities differ by more than this. Both sides are the same
# float32 operations, some sums in another order: logits of some tens move by 1e-6 of the largest, which moves a
# difference of two probabilities by a few 1e-5.
CLEAR = 1e-4

NAMES = tuple(name for name, published in PUBLISHED.items() if published.package == "mmseg")
SIZES_HW = ((97, 131), (96, 192), (480, 640))
SCALE_WH = (512, 256)
VIEWS: dict[str, tuple[tuple[float, ...], bool]] = {"plain": ((1.0,), False), "augmented": ((1.0, 1.25), True)}


def drawn_image(size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) RGB: coarse patches with finer ones over them."""
    rng = np.random.default_rng(size_hw)
    height, width = size_hw
    total = np.zeros((height, width, 3), np.int64)
    for side, most in ((64, 130), (16, 90), (2, 35)):
        patches = rng.integers(0, most, (height // side + 1, width // side + 1, 3))
        total += patches.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    return total.astype(np.uint8)


def original_result(
    model: Any, published: Published, image: npt.NDArray[np.uint8], ratios: tuple[float, ...], flip: bool
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Its labels (H, W), and its mean probabilities (C, H, W)."""
    from mmcv import Config
    from mmseg.apis import inference_segmentor

    package = importlib.util.find_spec("mmseg")
    assert package is not None and package.origin is not None
    config = Config.fromfile(str(Path(package.origin).parent / ".mim" / "configs" / published.config))
    views = config.data.test.pipeline[1]
    views.img_scale, views.flip = SCALE_WH, flip
    if ratios != (1.0,):
        views.img_ratios = list(ratios)
    model.cfg = config
    seen: list[torch.Tensor] = []

    def keep(*arguments: object) -> torch.Tensor:
        seen.append(type(model).inference(model, *arguments))
        return seen[-1].clone()

    model.inference = keep
    labels = inference_segmentor(model, np.ascontiguousarray(image[:, :, ::-1]))[0]
    return labels.astype(np.uint8), torch.stack(seen).mean(dim=0)[0].numpy()


def our_result(
    model: torch.nn.Module, name: str, image: npt.NDArray[np.uint8], ratios: tuple[float, ...], flip: bool
) -> npt.NDArray[np.uint8]:
    """(H, W) labels by the zoo entry's preparation, the network and the label kernel."""
    spec = importlib.import_module(f"densecast.zoo.{name}").ENTRY.spec
    outputs, views = [], []
    for ratio in ratios:
        array, placement = prepare(image, replace(spec.preprocess, resize=KeepRatio(*SCALE_WH).scaled(ratio)))
        for mirrored in (False, True) if flip else (False,):
            seen = np.ascontiguousarray(array[:, :, ::-1]) if mirrored else array
            with torch.no_grad():
                outputs.append(model(torch.from_numpy(seen)[None])[0].numpy())
            views.append(View(placement, mirrored, ratio))
    return postprocess.decode_views(outputs, views, spec).class_id


def check(name: str, checkpoints: Path | None) -> bool:
    """Compare one network on every size and view, print a line for each; False where a clear pixel differs."""
    published = PUBLISHED[name]
    original = originals.build(published.package, published.config)
    if checkpoints is None:
        shapes = {key: tuple(tensor.shape) for key, tensor in original.state_dict().items()}
        state = {key: torch.from_numpy(array) for key, array in seeded.state(shapes).items()}
    else:
        loaded = torch.load(checkpoints / f"{name}.pth", map_location="cpu", weights_only=True)
        state = loaded.get("state_dict", loaded)
    original.load_state_dict(state, strict=True)
    ours = published.build().eval()
    ours.load_state_dict(published.module().clean(state), strict=True)
    passed = True
    for view, (ratios, flip) in VIEWS.items():
        for size_hw in SIZES_HW:
            image = drawn_image(size_hw)
            case = f"{name:26} {view:9} {size_hw[0]:4}x{size_hw[1]:<4}"
            try:
                wanted, probability = original_result(original, published, image, ratios, flip)
            except AssertionError:
                print(f"{case} the original refuses this size")
                continue
            got = our_result(ours, name, image, ratios, flip)
            best = np.sort(probability, axis=0)
            clear = best[-1] - best[-2] > CLEAR
            other = got != wanted
            print(
                f"{case} {wanted.size:8} {int((~clear).sum()):6} {int(other.sum()):6} {int((other & clear).sum()):6}"
                f"  {'FAILED' if (other & clear).any() else 'ok'}  ({len(np.unique(wanted))} classes)"
            )
            passed &= not (other & clear).any()
    return passed


def main() -> int:
    """Compare the networks named on the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--checkpoints", type=Path, help="folder of <name>.pth files; default: seeded weights")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(NAMES)}")
    torch.set_num_threads(1)
    print(f"{'network':26} {'views':9} {'image':>9} {'pixels':>8} {'near':>6} {'other':>6} {'clear':>6}")
    results = [check(name, arguments.checkpoints) for name in arguments.names]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
