"""Compare networks and normalisation built from configurations of MMSegmentation 1.x with the originals.

Run with mmsegmentation 1.2.2, mmengine, mmcv-lite 2.1 and mmpretrain 1.2 on torch, beside densecast: see make_env1.sh.
.venv-parity1/bin/python parity/check_mmengine.py [WORD …] [--sizes 128x192,…]. Weights are seeded.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "networks"))
sys.path.insert(0, str(ROOT / "src"))

import seeded  # noqa: E402

import originals  # noqa: E402
from check_openmmlab import TOLERANCE, seeded_state  # noqa: E402
from densecast.errors import BadConfigError  # noqa: E402
from densecast.imaging.prepare import fill_part, resized_for  # noqa: E402
from densecast.io import config_files  # noqa: E402
from densecast.networks import openmmlab  # noqa: E402
from densecast.spec.preprocess import Native  # noqa: E402
from densecast.verbs.export.openmmlab import recipe as recipes  # noqa: E402

CONFIGS = (
    "fcn/fcn_r50-d8_4xb4-20k_voc12aug-512x512.py",
    "pspnet/pspnet_r18b-d8_4xb2-80k_cityscapes-512x1024.py",
    "deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py",
    "ocrnet/ocrnet_hr18s_4xb4-80k_ade20k-512x512.py",
    "segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py",
    "swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py",
    "bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py",
    "fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py",
    "pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py",
    "pidnet/pidnet-m_2xb6-120k_1024x1024-cityscapes.py",
    "ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py",
)


def build(path: Path) -> tuple[Any, Any]:
    """The original network of a configuration, in evaluation mode, and its settings."""
    from mmengine.config import Config
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    settings = Config.fromfile(str(path))
    settings.model.pretrained = None
    settings.model.train_cfg = None
    return MODELS.build(settings.model).eval(), settings


def run(model: Any, image: np.ndarray) -> np.ndarray:
    """Logits at the head's own size."""
    with torch.no_grad():
        maps = model.extract_feat(torch.from_numpy(image))
        if not isinstance(model.decode_head, torch.nn.ModuleList):
            return model.decode_head(maps).numpy()
        first, *later = model.decode_head
        logits = first(maps)
        for head in later:
            logits = head(maps, logits)
        return logits.numpy()


def same_input(model: Any, recipe: Any) -> bool:
    """Whether an image of the network's size is normalised and padded alike, bit by bit."""
    image = np.random.RandomState(0).randint(0, 256, (96, 160, 3), np.uint8)  # RGB, as densecast reads it
    bgr = torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)))
    from mmseg.structures import SegDataSample

    sample = SegDataSample(metainfo={"img_shape": image.shape[:2]})
    expected = model.data_preprocessor({"inputs": [bgr], "data_samples": [sample]}, False)["inputs"][0].numpy()
    rule = replace(recipe.preprocess, resize=Native())
    resized, rule, placement = resized_for(image, rule, 3)
    got = np.empty((3, *placement.model_hw), np.float32)
    fill_part(resized, rule, placement, 0, 0, got)
    return got.shape == expected.shape and np.array_equal(got, expected)


def check(config: str, sizes_hw: list[tuple[int, int]]) -> bool:
    """Compare one network; print a line for each size."""
    import mmseg

    path = Path(mmseg.__file__).parent / ".mim" / "configs" / config
    try:
        recipe = recipes.read(config_files.read(path))
        ours = openmmlab.build(openmmlab.Options.of(recipe.network)).eval()
    except BadConfigError as error:
        print(f"{config:76} {error}  FAILED")
        return False
    original, _ = build(path)
    state = seeded_state(original)
    original.load_state_dict(state, strict=True)
    ours.load_state_dict(openmmlab.clean(state), strict=True)
    passed = same_input(original, recipe)
    print(f"{config:76} input {'equal' if passed else 'DIFFERS'}")
    for size_hw in sizes_hw:
        image = seeded.image(size_hw)
        expected = run(original, image)
        with torch.no_grad():
            got = ours(torch.from_numpy(image)).numpy()
        largest = float(np.abs(expected).max())
        difference = float(np.abs(got - expected).max()) if got.shape == expected.shape else float("inf")
        good = difference <= TOLERANCE * largest
        passed &= good
        print(
            f"{config:76} {size_hw[0]:4}x{size_hw[1]:<4} {difference / largest:9.2e} {'ok' if good else 'FAILED'}",
            flush=True,
        )
    print(f"{config:76} input {'equal' if passed else 'or logits DIFFER'}")
    return passed


def main() -> int:
    """Compare the configurations whose names hold one of the words; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--sizes", default="128x192,96x160")
    arguments = parser.parse_args()
    sizes = [(int(h), int(w)) for h, w in (each.split("x") for each in arguments.sizes.split(","))]
    torch.set_num_threads(1)
    originals.stand_in()
    chosen = [c for c in CONFIGS if not arguments.words or any(word in c for word in arguments.words)]
    results = [check(config, sizes) for config in chosen or arguments.words]
    print(f"{sum(results)} of {len(results)} configurations agree")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
