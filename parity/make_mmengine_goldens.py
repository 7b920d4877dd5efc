"""Write tests/golden/mmengine_families.npz: what MMSegmentation 1.2 computes of each narrow network that only it has.

Run in the environment of make_env1.sh: .venv-parity1/bin/python parity/make_mmengine_goldens.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "networks"))

import seeded  # noqa: E402
from mmengine_families import FAMILIES, SIZES_HW  # noqa: E402

import originals  # noqa: E402
from check_mmengine import run  # noqa: E402
from check_openmmlab import seeded_state  # noqa: E402

# Heads of several branches insist on their losses.
LOSSES = {"PIDHead": 4, "DDRHead": 2}


def main() -> None:
    """Run every family and write sampled outputs and the names of weights."""
    torch.set_num_threads(1)
    originals.stand_in()
    from mmengine.config import ConfigDict
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    goldens: dict[str, np.ndarray] = {}
    for name, table in FAMILIES.items():
        settings = ConfigDict(table)
        count = LOSSES[settings.decode_head.type]
        settings.decode_head.loss_decode = [{"type": "CrossEntropyLoss"}] * count
        settings.test_cfg = {"mode": "whole"}
        model = MODELS.build(settings).eval()
        state = seeded_state(model)
        model.load_state_dict(state, strict=True)
        goldens[f"{name} keys"] = np.array(sorted(state))
        for size_hw in SIZES_HW:
            logits = run(model, seeded.image(size_hw))
            case = f"{name} {size_hw[0]}x{size_hw[1]}"
            goldens[f"{case} shape"] = np.array(logits.shape, np.int32)
            goldens[f"{case} sample"] = seeded.sample(logits)
            print(f"{case:24} {logits.shape!s:18} std {logits.std():8.3g}")
    target = ROOT / "tests" / "golden" / "mmengine_families.npz"
    np.savez_compressed(target, **goldens)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
