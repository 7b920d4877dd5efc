"""Count how many of the original repositories' own configuration files are read, understood and built.

Run in densecast's own environment: python parity/count_openmmlab.py FOLDER, the `.mim/configs` of a wheel.
Networks are built without memory for their weights. Exits with 1 below --least, a share.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import torch

from densecast.errors import DensecastError
from densecast.io import config_files
from densecast.networks import openmmlab
from densecast.verbs.export.openmmlab import recipe


def outcome(path: Path) -> tuple[str, str]:
    """How far a file comes - parsed, understood, built - and what stops it."""
    reached = "not parsed"
    try:
        names = config_files.read(path)
        reached = "parsed"
        made = recipe.read(names)
        reached = "understood"
        with torch.device("meta"):
            openmmlab.build(openmmlab.Options.of(made.network))
    except DensecastError as error:
        said = re.sub(r" is none that densecast builds.*", "", str(error))
        return reached, re.sub(r"^[\w.-]+\.py, line \d+: |\[\d+\]", "", said)[:90]
    return "built", ""


def main() -> int:
    """Print counts and what the rest needs; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--least", type=float, default=0.7)
    arguments = parser.parse_args()
    files = [path for path in sorted(arguments.folder.rglob("*.py")) if "_base_" not in path.parts]
    order = ("not parsed", "parsed", "understood", "built")
    reached: Counter[str] = Counter()
    reasons: dict[str, list[str]] = {}
    for path in files:
        stage, reason = outcome(path)
        reached[stage] += 1
        if reason:
            reasons.setdefault(reason, []).append(path.parent.name)
    for index, stage in enumerate(order[1:], start=1):
        count = sum(reached[each] for each in order[index:])
        print(f"{stage:11} {count:4} of {len(files)} ({count / max(len(files), 1):.1%})")
    for reason, folders in sorted(reasons.items(), key=lambda item: -len(item[1])):
        print(f"{len(folders):4}  {reason}  ({', '.join(sorted(set(folders)))})")
    return 0 if reached["built"] >= arguments.least * len(files) else 1


if __name__ == "__main__":
    sys.exit(main())
