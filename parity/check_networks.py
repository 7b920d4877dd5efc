"""Compare densecast's networks with the original packages' on the same weights; exit 1 beyond the tolerance.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/check_networks.py
Weights are seeded (tests/networks/seeded.py), or read from --checkpoints FOLDER/<name>.pth.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "networks"))

import seeded  # noqa: E402
from published_networks import PUBLISHED, Published  # noqa: E402

import originals  # noqa: E402

# Of the largest logit. Both sides are the same float32 operations; only the order of a few sums differs.
TOLERANCE = 1e-4

ODD_SIZES_HW = ((97, 131), (131, 97), (65, 33), (128, 256))


def sizes_of(published: Published) -> tuple[tuple[int, int], ...]:
    """Sizes to compare at; uneven ones for the networks that take them."""
    if published.module().NETWORK.input_multiple == 1:
        return ODD_SIZES_HW
    return (*published.sizes_hw, (128, 256))


def weights_of(name: str, model: torch.nn.Module, checkpoints: Path | None) -> dict[str, torch.Tensor]:
    """The state dict of the original network: seeded, or from the checkpoint file."""
    if checkpoints is None:
        shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
        return {key: torch.from_numpy(array) for key, array in seeded.state(shapes).items()}
    loaded = torch.load(checkpoints / f"{name}.pth", map_location="cpu", weights_only=True)
    return loaded.get("state_dict", loaded)


def check(name: str, checkpoints: Path | None) -> bool:
    """Compare one network at several sizes, print a line for each; False beyond the tolerance."""
    published = PUBLISHED[name]
    original = originals.build(published.package, published.config)
    state = weights_of(name, original, checkpoints)
    original.load_state_dict({key.removeprefix("module."): tensor for key, tensor in state.items()}, strict=True)
    ours = published.build().eval()
    ours.load_state_dict(published.module().clean(state), strict=True)
    passed = True
    for size_hw in sizes_of(published):
        case = f"{name:26} {size_hw[0]:4}x{size_hw[1]:<4}"
        image = seeded.image(size_hw)
        expected = originals.run(original, image)
        with torch.no_grad():
            got = ours(torch.from_numpy(image)).numpy()
        if got.shape != expected.shape:
            print(f"{case} shape {got.shape}, original {expected.shape}  FAILED")
            passed = False
            continue
        largest = float(np.abs(expected).max())
        difference = float(np.abs(got - expected).max())
        good = difference <= TOLERANCE * largest  # False for NaN, too
        passed &= good
        print(f"{case} {difference:10.2e} {largest:10.3g} {difference / largest:10.2e}  {'ok' if good else 'FAILED'}")
    return passed


def main() -> int:
    """Compare the networks named on the command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(PUBLISHED), metavar="NAME", help=", ".join(PUBLISHED))
    parser.add_argument("--checkpoints", type=Path, help="folder of <name>.pth files; default: seeded weights")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(PUBLISHED))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(PUBLISHED)}")
    torch.set_num_threads(1)
    print(f"{'network':26} {'input':>9} {'difference':>10} {'largest':>10} {'relative':>10}")
    results = [check(name, arguments.checkpoints) for name in arguments.names]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
