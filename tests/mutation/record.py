"""Adds what runs of `mutate.py` found to benchmarks/results/mutants.json, of which docs/numbers.md has a table.

    python tests/mutation/record.py runs/mutation/mutation.json --seed 7 --how "the three nearest files"
    python tests/mutation/record.py runs/mutation/mutation.json --seed 8 --turn 2
    python tests/mutation/record.py runs/again/mutation.json --again

Samples of a later turn stand in a table of their own: drawn when tests for what earlier ones had shown were there.
With `--again` the changes that an earlier run missed have been tried once more, with more tests or since tests were
added: those that were noticed are marked so. Changes that equivalent.json lists make no difference.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from drawn_changes import EQUIVALENT, NOTICED
from trial_worker import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "mutants.json"
_KEPT = ("package", "path", "text", "was", "became", "result")


def _short(trial: dict[str, Any]) -> dict[str, str]:
    every = {**trial, **trial["change"]}
    return {name: every[name] for name in _KEPT}


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == other.get(name, one[name]) for name in ("path", "was", "became")) and one["text"] in (
        other.get("text"),
        other.get("line"),
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="mutation.json of a run")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--how", default="", help="which tests were run")
    parser.add_argument("--turn", type=int, default=1, help="later ones: drawn when earlier samples had been seen to")
    parser.add_argument("--again", action="store_true", help="of changes that are recorded already")
    arguments = parser.parse_args()
    recorded = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {"samples": []}
    trials = [_short(each) for each in json.loads(arguments.run.read_text(encoding="utf-8"))]
    if not arguments.again:
        sample = {"seed": arguments.seed, "tests": arguments.how, "trials": trials}
        recorded["samples"].append({**sample, "turn": arguments.turn} if arguments.turn > 1 else sample)
    listed = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    for trial in (each for sample in recorded["samples"] for each in sample["trials"]):
        if trial["result"] in NOTICED:
            continue
        if any(_same(trial, each) for each in listed):
            trial["then"] = "makes no difference"
        elif arguments.again and any(_same(trial, each) and each["result"] in NOTICED for each in trials):
            trial["then"] = "noticed"
    RESULTS.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
