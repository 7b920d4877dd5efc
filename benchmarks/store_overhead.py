"""What keeping records costs an image, and what a process of its own or Ray costs; paired, in one run.

    python benchmarks/store_overhead.py ARTIFACT --data DIR --images 40 --rounds 5 --on local ray:local

Evaluations with and without a store alternate in one process. Others are timed by their records, from the first image
that is finished to the last, so that their start is left out; they alternate, too, and each is compared with the first
of its round, as the speed of a machine that others share drifts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet

import densecast
from densecast.io import codec
from densecast.measure.store import recording, scoring
from densecast.measure.store.store import Store
from densecast.pipeline import Pipeline, PipelineConfig
from densecast.runtime import machine


def paired(artifact: Path, data: densecast.Data, options: densecast.EvaluateOptions, rounds: int) -> dict[str, Any]:
    """Milliseconds an image, of the clock and of all CPUs, without and with a store, in alternation."""
    plain, stored = [], []
    plain_cpu, stored_cpu = [], []
    with Pipeline.open(artifact, mode="throughput") as pipeline:
        images = densecast.evaluate(pipeline, data, options).score.count
        for number in range(2 * rounds):
            with tempfile.TemporaryDirectory() as folder:
                kept = densecast.StoreOptions(f"{folder}/run", shard_size=images) if number % 2 else None
                began, cpu = time.perf_counter(), time.process_time()
                densecast.evaluate(pipeline, data, options, **({"stored": kept} if kept else {}))
                (stored if kept else plain).append((time.perf_counter() - began) * 1000 / images)
                (stored_cpu if kept else plain_cpu).append((time.process_time() - cpu) * 1000 / images)
    for clock, left, right in (("the clock", plain, stored), ("all CPUs", plain_cpu, stored_cpu)):
        extra = [other - one for one, other in zip(left, right, strict=True)]
        middle = statistics.median(left)
        print(
            f"{artifact.name}, by {clock}: {middle:.2f} ms an image, with a store {statistics.median(right):.2f} ms: "
            f"{statistics.median(extra):+.2f} ms ({statistics.median(extra) / middle:+.1%}), median of {rounds} pairs, "
            f"{min(extra):+.2f} to {max(extra):+.2f} ms"
        )
    cpu = {"plain_cpu_ms": plain_cpu, "stored_cpu_ms": stored_cpu}
    return {"plain_ms": plain, "stored_ms": stored, **cpu, "images": images}


def own_work(artifact: Path, data: densecast.Data, options: densecast.EvaluateOptions) -> dict[str, float]:
    """Milliseconds an image that a store's own functions take in one evaluation, by the clock and of CPU.

    A difference of two evaluations is lost in the noise of a machine that others share; this is its own part of one:
    hashes of files, writing and scanning records, and the score from them.
    """
    spent = {"clock": 0.0, "cpu": 0.0}

    def timed(function: Any) -> Any:
        def wrapper(*given: Any, **named: Any) -> Any:
            began, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*given, **named)
            finally:
                spent["clock"] += (time.perf_counter() - began) * 1000
                spent["cpu"] += (time.thread_time() - cpu) * 1000

        return wrapper

    parts = [(recording, "facts_of"), (Store, "write"), (Store, "scan"), (scoring, "score")]
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        for owner, name in parts:
            stack.enter_context(mock.patch.object(owner, name, timed(getattr(owner, name))))
        pipeline = stack.enter_context(Pipeline.open(artifact, mode="throughput"))
        stored = densecast.StoreOptions(f"{folder}/run")
        images = densecast.evaluate(pipeline, data, options, stored=stored).score.count
    found = {name: ms / images for name, ms in spent.items()}
    print(f"{artifact.parent.name}: a store's own work {found['clock']:.2f} ms an image, {found['cpu']:.2f} ms of CPU")
    return found


def steady(artifact: Path, data: densecast.Data, options: densecast.EvaluateOptions, on: str) -> dict[str, Any]:
    """Images a second between the first record and the last, and the seconds before the first."""
    config = PipelineConfig(artifact, mode="throughput")
    with tempfile.TemporaryDirectory() as folder:
        began = time.time()
        densecast.evaluate(config, data, options, stored=densecast.StoreOptions(f"{folder}/run", on=on))
        total_s = time.time() - began
        finished: list[float] = []
        for path in Path(folder, "run", "done").glob("*.parquet"):
            finished += [each.timestamp() for each in pyarrow.parquet.read_table(path)["finished"].to_pylist()]
    finished.sort()
    rate = (len(finished) - 1) / (finished[-1] - finished[0])
    print(f"{artifact.name} --on {on}: {rate:.2f} images a second, the first one after {finished[0] - began:.1f} s")
    return {"images_per_s": rate, "first_s": finished[0] - began, "total_s": total_s}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3, help="rounds of --on")
    parser.add_argument("--on", nargs="*", default=["local"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    options = densecast.EvaluateOptions(split=given.split, limit=given.images)
    data = densecast.Data(given.data)
    found: dict[str, Any] = {"artifact": given.artifact.name, "machine": codec.to_plain(machine.describe())}
    found["own_work_ms"] = own_work(given.artifact, data, options)
    if given.rounds:
        found["paired"] = paired(given.artifact, data, options, given.rounds)
    found["on"] = [{on: steady(given.artifact, data, options, on) for on in given.on} for _ in range(given.turns)]
    for on in given.on[1:]:
        ratios = [turn[on]["images_per_s"] / turn[given.on[0]]["images_per_s"] for turn in found["on"]]
        told = f"median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}"
        print(f"--on {on} against {given.on[0]}: {told}, of {len(ratios)} rounds")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
