"""From one worker to two, and on paper to a thousand: a model of a run's time, held against a measured one.

    python benchmarks/workers.py ARTIFACT --data DIR --images 60 [--json FILE]

Workers of one CPU each compute their part of the images into one store, as `--shard K/N` does. A run takes what a
worker takes to start, its images at its own pace, and what it does at the end. What one worker is measured to take
predicts what two do, the larger part of the images being the slower worker's: within 10 % is promised where nothing
else is on the machine. For a thousand workers the same model is worked out, with what goes through the driver and into
the store.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet

from densecast.io import codec
from densecast.measure.distribute.shards import part
from densecast.runtime import machine

_DRIVER_S_A_SHARD = 32e-6
_BYTES_AN_ID, _BYTES_A_RECORD = 28, 156
_SHARD_S = 30.0


@dataclass(frozen=True)
class Run:
    """A measured run: from the command's start to the first record, the records' pace, and to the end."""

    workers: int
    start_s: float
    images_per_s: float
    total_s: float


def measured(given: argparse.Namespace, workers: int) -> tuple[Run, list[str]]:
    """So many workers of one CPU, at once, and the ids that they computed."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "run"
        plain = [sys.executable, "-m", "densecast", "evaluate", str(given.artifact), "--data", str(given.data)]
        plain += ["--split", given.split, "--limit", str(given.images), "--store", str(store), "--threads", "1", "-q"]
        cpus = sorted(os.sched_getaffinity(0))
        began = time.time()
        started = [
            subprocess.Popen(
                ["taskset", "-c", str(cpus[place % len(cpus)]), *plain, "--shard", f"{place + 1}/{workers}"],
                stdout=subprocess.DEVNULL,
            )
            for place in range(workers)
        ]
        if any(each.wait() for each in started):
            raise SystemExit("a worker failed")
        total_s = time.time() - began
        rows = [
            row
            for path in (store / "done").glob("*.parquet")
            for row in pyarrow.parquet.read_table(path, columns=["id", "finished"]).to_pylist()
        ]
    finished = sorted(row["finished"].timestamp() for row in rows)
    pace = (len(finished) - workers) / (finished[-1] - finished[0])
    return Run(workers, finished[0] - began, pace, total_s), [row["id"] for row in rows]


def on_paper(one: Run, images: int, workers: int) -> dict[str, float]:
    """A run of so many images: its hours, and each second's shards, share of the driver's time, and bytes."""
    shards_per_s = workers / _SHARD_S
    own_s = images / workers / one.images_per_s + _SHARD_S / 2  # the last shards are halved to end together
    return {
        "hours": (one.start_s + own_s) / 3600,
        "shards_per_s": shards_per_s,
        "driver_share": shards_per_s * _DRIVER_S_A_SHARD,
        "bytes_through_driver_per_s": workers * one.images_per_s * _BYTES_AN_ID,
        "store_bytes_per_s": workers * one.images_per_s * _BYTES_A_RECORD,
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="one worker and two alternate so many times")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rounds = []
    for _ in range(given.rounds):
        one, ids = measured(given, 1)
        two, _ = measured(given, 2)
        larger = max(len(part(ids, place, 2)) for place in (1, 2))
        end_s = one.total_s - one.start_s - len(ids) / one.images_per_s
        predicted_s = one.start_s + larger / one.images_per_s + end_s
        apart = two.total_s / predicted_s - 1
        rounds.append({"one": asdict(one), "two": asdict(two), "predicted_s": predicted_s, "apart": apart})
        for each in (one, two):
            told = (
                f"{each.images_per_s:.2f} images/s, the first after {each.start_s:.1f} s, {each.total_s:.1f} s in all"
            )
            print(f"{each.workers} worker(s): {told}")
        print(f"predicted for two: {predicted_s:.1f} s, measured {two.total_s:.1f} s ({apart:+.1%}; at most 10 %)")
    middle = statistics.median(each["apart"] for each in rounds)
    print(f"measured against predicted: {middle:+.1%}, median of {len(rounds)} rounds")
    paper = {workers: on_paper(one, 1_000_000, workers) for workers in (1, 10, 100, 1000)}
    for workers, found in paper.items():
        told = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
        print(f"a million images, {workers} workers: {told}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        here = codec.to_plain(machine.describe())
        result = {"artifact": given.artifact.name, "machine": here, "rounds": rounds, "million": paper}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
