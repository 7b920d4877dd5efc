"""Write openmmlab_keys.json: a digest of each published network's state-dict keys, shapes and types.

    python tests/golden/make_openmmlab_keys.py FOLDER

FOLDER holds one `<name>.txt` a network, made from the original package's own model: a line `key (shape)` per
entry of its `state_dict()`. The heads that only training runs (`auxiliary_head.*`) are left out.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import sys
from pathlib import Path

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def digest(lines: list[str]) -> dict[str, object]:
    entries = []
    parameters = 0
    for line in lines:
        key, _, shape_text = line.partition(" ")
        if key.startswith("auxiliary_head."):
            continue
        shape = tuple(ast.literal_eval(shape_text))
        kind = "int64" if key.endswith("num_batches_tracked") else "float32"
        entries.append(f"{key} {shape} {kind}")
        parameters += 0 if key.endswith(BUFFERS) else math.prod(shape)
    text = "\n".join(sorted(entries))
    return {
        "keys": len(entries),
        "parameters": parameters,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def main() -> None:
    folder = Path(sys.argv[1])
    found = {path.stem: digest(path.read_text().splitlines()) for path in sorted(folder.glob("*.txt"))}
    target = Path(__file__).with_name("openmmlab_keys.json")
    target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
