"""Write tests/golden/openmmlab_logits.npz: what the original packages compute from seeded weights.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/make_network_goldens.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "networks"))

import seeded  # noqa: E402
from published_networks import PUBLISHED  # noqa: E402

import originals  # noqa: E402


def main() -> None:
    """Run all eight networks and write their sampled outputs."""
    torch.set_num_threads(1)
    goldens: dict[str, np.ndarray] = {}
    for name, published in PUBLISHED.items():
        model = originals.build(published.package, published.config)
        shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
        state = {key: torch.from_numpy(array) for key, array in seeded.state(shapes).items()}
        model.load_state_dict(state, strict=True)
        for size_hw in published.sizes_hw:
            logits = originals.run(model, seeded.image(size_hw))
            case = f"{name} {size_hw[0]}x{size_hw[1]}"
            goldens[f"{case} shape"] = np.array(logits.shape, np.int32)
            goldens[f"{case} sample"] = seeded.sample(logits)
            spread = logits.std(axis=(2, 3)).mean()  # inside one class' map: 0 would compare biases only
            print(f"{case:36} {logits.shape!s:18} std {logits.std():8.3g}, within a map {spread:8.3g}")
    target = ROOT / "tests" / "golden" / "openmmlab_logits.npz"
    np.savez_compressed(target, **goldens)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
