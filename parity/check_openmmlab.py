"""Compare networks that densecast builds from configurations with the originals, on the same weights.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/check_openmmlab.py [WORD …] [--sizes 97x131,…]
The configurations are those inside the wheel of mmsegmentation 0.30; weights are seeded. With --table FILE the cells of
these sizes are written into benchmarks/results/printed/openmmlab.json, of which docs/numbers.md is made; others stay.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "networks"))
sys.path.insert(0, str(ROOT / "src"))

import seeded  # noqa: E402

import originals  # noqa: E402
from densecast.errors import BadConfigError  # noqa: E402
from densecast.io import config_files, python_config  # noqa: E402
from densecast.networks import openmmlab  # noqa: E402
from openmmlab_configs import CONFIGS  # noqa: E402

TOLERANCE = 1e-4
"""Of the largest logit."""
Cells = dict[tuple[str, str], str]
"""What the table says of a configuration at a size."""


def seeded_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Seeded weights; whole numbers, which are positions, stay as they are."""
    own = network.state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in own.items() if tensor.is_floating_point()}
    return own | {key: torch.from_numpy(array) for key, array in seeded.state(shapes).items()}


def write_table(path: Path, cells: Cells) -> None:
    """Put cells into a table that was kept, a row for each configuration and a column for each size."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    heads, rows = kept["columns"], kept["rows"]
    known: Cells = {
        (row[0].strip("`"), size): cell for row in rows for size, cell in zip(heads[1:], row[1:], strict=True)
    }
    known |= cells
    sizes = sorted({size for _, size in known}, key=lambda size: [int(side) for side in size.split("×")])
    named = [config.removesuffix(".py") for config in CONFIGS]
    found = [[f"`{config}`", *(known.get((config, size), "") for size in sizes)] for config in named]
    kept |= {"columns": ["configuration", *sizes], "rows": [row for row in found if any(row[1:])]}
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def network_table(path: Path) -> Any:
    """The `model` of a configuration; of one with a comprehension, of the flat copy that training would write."""
    try:
        return config_files.read(path)["model"]
    except BadConfigError as error:
        if "comprehension" not in str(error):
            raise
        from mmcv import Config

        flat = f"model = {Config.fromfile(str(path)).model.to_dict()!r}"
        return python_config.parse(flat, path.name)["model"]


def check(config: str, sizes_hw: list[tuple[int, int]], cells: Cells) -> bool:
    """Compare one network at several sizes, print a line for each; False beyond the tolerance."""
    path = originals.config_path("mmseg", config)
    try:
        table = network_table(path)
        ours = openmmlab.build(openmmlab.Options.of(table)).eval()
    except BadConfigError as error:
        print(f"{config:60} {error}  FAILED")
        return False
    original = originals.build("mmseg", config)
    state = seeded_state(original)
    original.load_state_dict(state, strict=True)
    cleaned = openmmlab.clean(state)
    missing, unexpected = set(ours.state_dict()) - set(cleaned), set(cleaned) - set(ours.state_dict())
    if missing or unexpected:
        print(f"{config:60} missing {sorted(missing)[:4]} unexpected {sorted(unexpected)[:4]}  FAILED")
        return False
    ours.load_state_dict(cleaned, strict=True)
    passed = True
    for size_hw in sizes_hw:
        case = f"{config:60} {size_hw[0]:4}x{size_hw[1]:<4}"
        image = seeded.image(size_hw)
        cell = (config.removesuffix(".py"), f"{size_hw[0]}×{size_hw[1]}")
        try:
            expected = originals.run(original, image)
        except Exception as error:  # some originals do not run at some sizes
            print(f"{case} the original fails: {str(error).splitlines()[0][:60]}")
            cells[cell] = "the original takes no such size"
            continue
        with torch.no_grad():
            got = ours(torch.from_numpy(image)).numpy()
        if got.shape != expected.shape:
            print(f"{case} shape {got.shape}, original {expected.shape}  FAILED")
            passed = False
            continue
        largest, difference = float(np.abs(expected).max()), float(np.abs(got - expected).max())
        good = difference <= TOLERANCE * largest
        passed &= good
        cells[cell] = f"{difference / largest:.2e}" if difference else "0"
        print(
            f"{case} {difference:10.2e} {largest:10.3g} {difference / largest:10.2e} {'ok' if good else 'FAILED'}",
            flush=True,
        )
    return passed


def main() -> int:
    """Compare the configurations whose names hold one of the words; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--sizes", default="97x131,96x192")
    parser.add_argument("--table", type=Path, help="benchmarks/results/printed/openmmlab.json")
    arguments = parser.parse_args()
    sizes = [(int(h), int(w)) for h, w in (each.split("x") for each in arguments.sizes.split(","))]
    torch.set_num_threads(1)
    chosen = [c for c in CONFIGS if not arguments.words or any(word in c for word in arguments.words)]
    if not chosen:
        chosen = arguments.words
    cells: Cells = {}
    results = []
    for config in chosen:
        results.append(check(config, sizes, cells))
        if arguments.table:
            write_table(arguments.table, cells)
    print(f"{sum(results)} of {len(results)} configurations agree")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
