"""From one worker to two, and on paper to a thousand: a model of a run's time, held against a measured one.

    python benchmarks/workers.py ARTIFACT --data DIR --images 60 [--json FILE]

Workers of one CPU each compute their part of the images into one store, as `--shard K/N` does. A run takes what a
worker takes to start, its images at its own pace, and what it does at the end. CPUs of one machine are not equally
fast, and share memory, power and sometimes a core: one worker is therefore measured on each CPU while the other CPU
does the same into a store of its own. What the slower of them would take for its part predicts what both take for one
store: within 10 % is promised where nothing else is on the machine. `--at-least MS` makes every inference wait until
so many milliseconds have passed, where a machine's own speed drifts by more than what is asked here. For a thousand
workers, a machine each, the same model is worked out, with what goes through the driver and into the store.
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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet

from densecast.io import codec
from densecast.measure.distribute.shards import part
from densecast.runtime import machine

_DRIVER_S_A_SHARD = 32e-6
_BYTES_AN_ID, _BYTES_A_RECORD = 28, 156
_SHARD_S = 30.0

# In a module that every Python reads first: a store's images are computed by processes of its own.
_AT_LEAST = """
import time
from densecast.backends._openvino_runner import OpenVinoRunner

whole = OpenVinoRunner.run

def run(self, *given, **named):
    until = time.perf_counter() + {seconds}
    found = whole(self, *given, **named)
    time.sleep(max(0.0, until - time.perf_counter()))
    return found

OpenVinoRunner.run = run
"""


@dataclass(frozen=True)
class Run:
    """A measured run: from the command's start to the first record, the records' pace, and to the end."""

    workers: int
    start_s: float
    images_per_s: float
    total_s: float


def measured(given: argparse.Namespace, shards: Sequence[str], *, one_store: bool) -> tuple[list[Run], list[str]]:
    """Workers with these shards, at once, each on a CPU of its own: the run of each store, and the ids computed."""
    with tempfile.TemporaryDirectory() as folder:
        stores = [Path(folder) / ("run" if one_store else f"run{place}") for place in range(len(shards))]
        environment = dict(os.environ)
        if given.at_least:
            Path(folder, "sitecustomize.py").write_text(_AT_LEAST.format(seconds=given.at_least / 1000))
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, environment.get("PYTHONPATH"))))
        plain = [sys.executable, "-m", "densecast", "evaluate", str(given.artifact), "--data", str(given.data)]
        plain += ["--split", given.split, "--limit", str(given.images), "--threads", "1", "-q"]
        cpus = sorted(os.sched_getaffinity(0))
        began = time.time()
        started = [
            subprocess.Popen(
                ["taskset", "-c", str(cpu), *plain, "--store", str(store), "--shard", shard],
                stdout=subprocess.DEVNULL,
                env=environment,
            )
            for cpu, store, shard in zip(cpus, stores, shards, strict=False)
        ]
        with ThreadPoolExecutor(len(started)) as waiting:
            ended = [at - began for at in waiting.map(_ended, started)]
        if one_store:
            run, ids = recorded(stores[0], began, max(ended), len(shards))
            return [run], ids
        found = [recorded(store, began, total_s, 1) for store, total_s in zip(stores, ended, strict=True)]
        return [run for run, _ in found], found[0][1]


def _ended(process: subprocess.Popen[bytes]) -> float:
    """When a worker ends."""
    if process.wait():
        raise SystemExit("a worker failed")
    return time.time()


def recorded(store: Path, began: float, total_s: float, workers: int) -> tuple[Run, list[str]]:
    """A store's run, by its records, and their ids."""
    rows = [
        row
        for path in (store / "done").glob("*.parquet")
        for row in pyarrow.parquet.read_table(path, columns=["id", "finished"]).to_pylist()
    ]
    finished = sorted(row["finished"].timestamp() for row in rows)
    pace = (len(finished) - workers) / (finished[-1] - finished[0])
    return Run(workers, finished[0] - began, pace, total_s), [row["id"] for row in rows]


def predicted(alone: Sequence[Run], ids: Sequence[str]) -> float:
    """Seconds that workers at once take for these images, each its own part, from what each takes for all of them."""
    took = []
    for place, one in enumerate(alone):
        end_s = one.total_s - one.start_s - len(ids) / one.images_per_s
        own = part(ids, place + 1, len(alone))
        took.append(one.start_s + len(own) / one.images_per_s + end_s)
    return max(took)


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
    parser.add_argument("--at-least", type=float, default=0, metavar="MS", help="how long an inference takes at least")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rounds = []
    for _ in range(given.rounds):
        ones, ids = measured(given, ["1/1", "1/1"], one_store=False)
        (both,), _ = measured(given, ["1/2", "2/2"], one_store=True)
        predicted_s = predicted(ones, ids)
        apart = both.total_s / predicted_s - 1
        plain = {"alone": [asdict(one) for one in ones], "both": asdict(both)}
        rounds.append({**plain, "predicted_s": predicted_s, "apart": apart})
        for each in (*ones, both):
            told = (
                f"{each.images_per_s:.2f} images/s, the first after {each.start_s:.1f} s, {each.total_s:.1f} s in all"
            )
            print(f"{each.workers} worker(s): {told}")
        print(f"predicted for two: {predicted_s:.1f} s, measured {both.total_s:.1f} s ({apart:+.1%}; at most 10 %)")
    middle = statistics.median(each["apart"] for each in rounds)
    print(f"measured against predicted: {middle:+.1%}, median of {len(rounds)} rounds")
    paper = {workers: on_paper(ones[0], 1_000_000, workers) for workers in (1, 10, 100, 1000)}
    for workers, found in paper.items():
        told = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
        print(f"a million images, {workers} workers: {told}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        here = codec.to_plain(machine.describe())
        result = {"artifact": f"{given.artifact.parent.name} {given.artifact.name}", "at_least_ms": given.at_least}
        result |= {"machine": here, "rounds": rounds, "million": paper}
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
