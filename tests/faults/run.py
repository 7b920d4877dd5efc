"""All campaigns in one command, and one table: damaged model files, and verbs disturbed at work.

    PYTHONPATH=tests/support python tests/faults/run.py --count 10000 --seconds 300

Exit code 1 if a trial of either fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
_FAILED = ("failed", "untyped", "crash", "hang", "memory")


def rows(files_json: Path, verbs_json: Path) -> list[tuple[str, int, int]]:
    """Name, tried and failed of every kind of trial; of a campaign that wrote nothing, none."""
    found = []
    if files_json.exists():
        for kind, counts in json.loads(files_json.read_text()).items():
            found.append((f"damaged {kind}", sum(counts.values()), sum(counts.get(each, 0) for each in _FAILED)))
    if verbs_json.exists():
        for row in json.loads(verbs_json.read_text()):
            failed = row.get("failed", 0)
            found.append((f"{row['trial']}, {row['verb']}", row.get("held", 0) + failed, failed))
    return found


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="number of damaged model files")
    parser.add_argument("--seconds", type=float, default=120, help="for verbs disturbed at work")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/faults"), help="folder of the results")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    codes, written = [], []
    for name, option in (
        ("processes", ("--seconds", arguments.seconds)),
        ("campaign", ("--count", arguments.count)),
    ):
        written.append(arguments.out / f"{name}.json")
        written[-1].unlink(missing_ok=True)
        command = [sys.executable, HERE / f"{name}.py", *option, "--seed", arguments.seed, "--json", written[-1]]
        codes.append(subprocess.run([str(each) for each in command], check=False).returncode)
    verbs, files = written
    found = rows(files, verbs)
    print(f"\n{'trial':40}{'tried':>8}{'held':>8}{'failed':>8}")
    for name, tried, failed in [*found, ("all", sum(each[1] for each in found), sum(each[2] for each in found))]:
        print(f"{name:40}{tried:8}{tried - failed:8}{failed:8}")
    sys.exit(1 if any(codes) else 0)


if __name__ == "__main__":
    main()
