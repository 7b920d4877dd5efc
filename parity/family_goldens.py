"""What goldens of narrow networks hold: the names of their weights, and sampled logits of the originals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import seeded

from check_openmmlab import seeded_state

ROOT = Path(__file__).resolve().parent.parent


def record(
    goldens: dict[str, np.ndarray],
    name: str,
    model: Any,
    run: Callable[[Any, np.ndarray], np.ndarray],
    sizes_hw: Sequence[tuple[int, int]],
) -> None:
    """Give an original seeded weights, run it at several sizes, and add what it computes; prints how it spreads."""
    state = seeded_state(model)
    model.load_state_dict(state, strict=True)
    goldens[f"{name} keys"] = np.array(sorted(state))
    for size_hw in sizes_hw:
        logits = run(model, seeded.image(size_hw))
        case = f"{name} {size_hw[0]}x{size_hw[1]}"
        goldens[f"{case} shape"] = np.array(logits.shape, np.int32)
        goldens[f"{case} sample"] = seeded.sample(logits)
        print(f"{case:36} {logits.shape!s:18} std {logits.std():8.3g} within {logits.std(axis=(2, 3)).mean():8.3g}")


def write(file: str, goldens: dict[str, np.ndarray]) -> None:
    """Write them beside the other goldens."""
    target = ROOT / "tests" / "golden" / file
    np.savez_compressed(target, **goldens)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size} bytes")
