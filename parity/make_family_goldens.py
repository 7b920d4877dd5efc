"""Write tests/golden/openmmlab_families.npz: what the original package computes of each family's narrow network.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/make_family_goldens.py
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "networks"))

from openmmlab_families import FAMILIES, SIZES_HW, takes  # noqa: E402

import family_goldens  # noqa: E402
import originals  # noqa: E402


def built(table: dict[str, Any]) -> torch.nn.Module:
    """The original network of a `model` table."""
    from mmcv import ConfigDict
    from mmseg.models import build_segmentor

    model = ConfigDict(table)
    heads = model.decode_head if isinstance(model.decode_head, list) else [model.decode_head]
    for each in heads:
        head = each.get("kernel_generate_head", each)
        head.setdefault("loss_decode", {"type": "CrossEntropyLoss"})
        if head.type == "EncHead":
            head.loss_se_decode = {"type": "CrossEntropyLoss", "use_sigmoid": True}
    model.setdefault("test_cfg", {"mode": "whole"})
    return build_segmentor(model).eval()


def main() -> None:
    """Run every family and write sampled outputs and the names of weights."""
    torch.set_num_threads(1)
    originals.import_package("mmseg")
    importlib.import_module("mmcls.models")  # ConvNeXt
    goldens: dict[str, np.ndarray] = {}
    for name, table in FAMILIES.items():
        sizes_hw = [size_hw for size_hw in SIZES_HW if takes(name, size_hw)]
        family_goldens.record(goldens, name, built(table), originals.run, sizes_hw)
    family_goldens.write("openmmlab_families.npz", goldens)


if __name__ == "__main__":
    main()
