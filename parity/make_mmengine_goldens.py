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

from mmengine_families import FAMILIES, SIZES_HW  # noqa: E402

import family_goldens  # noqa: E402
import originals  # noqa: E402
from check_mmengine import run  # noqa: E402

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
        family_goldens.record(goldens, name, MODELS.build(settings).eval(), run, SIZES_HW)
    family_goldens.write("mmengine_families.npz", goldens)


if __name__ == "__main__":
    main()
