"""Count how many of the original repositories' own configuration files are read, understood, built and exported.

Run in densecast's own environment: python parity/count_openmmlab.py FOLDER [--only WORD] [--export], FOLDER the
`.mim/configs` of a wheel. Networks are built without memory for their weights. With --export one file of each
architecture - backbone, neck and heads by their types and the keys that are said of them, whatever their depths,
widths and classes - is exported with seeded weights at --size, which windows have, too, graph against framework; it
stands for all files of its architecture. The one with the fewest weights is taken. --json FILE keeps what each export
came to, as soon as it is known; a later run exports only what is not there or has failed. Exits with 1 below --least, a
share of the files that are built.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from densecast.errors import DensecastError
from densecast.io import config_files
from densecast.networks import openmmlab
from densecast.spec.recipe import SlideInference
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import export
from densecast.verbs.export.openmmlab import recipe

# What changes sizes and not which operators there are.
_SIZES = re.compile(
    r"depth|channels|num_classes|embed_dims|num_layers|num_heads|depths|num_blocks|num_modules|arch$|index"
)


def architecture(table: Any) -> Any:
    """What distinguishes architectures of a network's table."""
    if isinstance(table, Mapping):
        kept = {key: architecture(value) for key, value in table.items() if not _SIZES.search(key)}
        return tuple(sorted((key, value) for key, value in kept.items() if value is not None))
    if isinstance(table, (list, tuple)) and any(isinstance(each, Mapping) for each in table):
        return tuple(architecture(each) for each in table)
    return str(table)


def exported(path: Path, size_hw: tuple[int, int]) -> str:
    """Export a file's network with weights by chance, as from a checkpoint; what stops it, else nothing."""
    torch.manual_seed(0)
    made = recipe.read(config_files.read(path))
    network = openmmlab.build(openmmlab.Options.of(made.network))
    options = ExportOptions(config=str(path), size_hw=size_hw)
    if isinstance(made.inference, SlideInference):
        # The network is given windows: smaller ones than the configuration's, if it takes them.
        options = replace(options, slide=size_hw)
    fixed_hw = getattr(network.backbone, "fixed_hw", None)
    if fixed_hw is not None:
        options = ExportOptions(config=str(path))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "weights.pth"
        torch.save({"meta": {}, "state_dict": network.state_dict()}, checkpoint)
        try:
            export(checkpoint, Path(folder) / "out", options=options)
        except DensecastError as error:
            return str(error)
    return ""


def weights(path: Path) -> int:
    """The number of a network's weights, made without memory for them."""
    with torch.device("meta"):
        network = openmmlab.build(openmmlab.Options.of(recipe.read(config_files.read(path)).network))
    return sum(each.numel() for each in network.parameters())


def export_each(built: list[Path], size_hw: tuple[int, int], record: Path | None) -> int:
    """Export one file of each architecture and print what comes of it; the number of files that these stand for."""
    groups: dict[Any, list[Path]] = {}
    for path in built:
        groups.setdefault(architecture(recipe.read(config_files.read(path)).network), []).append(path)
    known: dict[str, dict[str, Any]] = json.loads(record.read_text()) if record and record.is_file() else {}
    passed = count = 0
    for number, (kind, members) in enumerate(sorted(groups.items(), key=lambda item: -len(item[1]))):
        key = hashlib.sha256(repr(kind).encode()).hexdigest()[:16]
        if key not in known or known[key]["reason"]:
            smallest = min(members, key=weights)
            start = time.perf_counter()
            reason = exported(smallest, size_hw)
            if reason:  # LR-ASPP and others take no small size
                reason = exported(smallest, (4 * size_hw[0], 4 * size_hw[1]))
            seconds = round(time.perf_counter() - start, 1)
            known[key] = {"file": f"{smallest.parent.name}/{smallest.name}", "reason": reason, "seconds": seconds}
        known[key]["files"] = len(members)
        if record:
            record.write_text(json.dumps(known, indent=1) + "\n")
        file, reason, seconds = (known[key][name] for name in ("file", "reason", "seconds"))
        passed += not reason
        count += 0 if reason else len(members)
        print(f"{number:4} {file:60} for {len(members):3} files {seconds:6.1f} s  {reason or 'ok'}", flush=True)
    print(f"exported    {passed} of {len(groups)} architectures, which stand for {count} of {len(built)} files")
    return count


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
    parser.add_argument("--only", default="", help="files whose path holds this word, as associative_embedding")
    parser.add_argument("--export", action="store_true", help="export one file of each architecture, too")
    parser.add_argument("--size", default="128x128", help="the size to export at")
    parser.add_argument("--json", type=Path, help="keeps the outcomes of exports, and is taken up by the next run")
    arguments = parser.parse_args()
    files = [path for path in sorted(arguments.folder.rglob("*.py")) if "_base_" not in path.parts]
    files = [path for path in files if arguments.only in str(path)]
    built: list[Path] = []
    order = ("not parsed", "parsed", "understood", "built")
    reached: Counter[str] = Counter()
    reasons: dict[str, list[str]] = {}
    for path in files:
        stage, reason = outcome(path)
        reached[stage] += 1
        built += [path] if stage == "built" else []
        if reason:
            reasons.setdefault(reason, []).append(path.parent.name)
    for index, stage in enumerate(order[1:], start=1):
        count = sum(reached[each] for each in order[index:])
        print(f"{stage:11} {count:4} of {len(files)} ({count / max(len(files), 1):.1%})")
    for reason, folders in sorted(reasons.items(), key=lambda item: -len(item[1])):
        print(f"{len(folders):4}  {reason}  ({', '.join(sorted(set(folders)))})")
    good = len(built)
    if arguments.export:
        height, width = (int(side) for side in arguments.size.split("x"))
        good = export_each(built, (height, width), arguments.json)
    return 0 if good >= arguments.least * len(files) else 1


if __name__ == "__main__":
    sys.exit(main())
