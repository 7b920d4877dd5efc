"""What keeping records costs an image, and what a process of its own or Ray costs; paired, in one run.

    python benchmarks/store_overhead.py ARTIFACT --data DIR --images 40 --rounds 5 --on local ray:local

Evaluations with and without a store alternate in one process. Others are timed by their records, from the first image
that is finished to the last, so that their start is left out; they alternate, too, and each is compared with the first
of its round, as the speed of a machine that others share drifts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet

import densecast
from densecast.io import codec
from densecast.pipeline import Pipeline, PipelineConfig
from densecast.runtime import machine


def paired(artifact: Path, data: densecast.Data, options: densecast.EvaluateOptions, rounds: int) -> dict[str, Any]:
    """Milliseconds an image, without and with a store, in alternation."""
    plain, stored = [], []
    with Pipeline.open(artifact, mode="throughput") as pipeline:
        images = densecast.evaluate(pipeline, data, options).score.count
        for number in range(2 * rounds):
            with tempfile.TemporaryDirectory() as folder:
                kept = densecast.StoreOptions(f"{folder}/run", shard_size=images) if number % 2 else None
                began = time.perf_counter()
                densecast.evaluate(pipeline, data, options, **({"stored": kept} if kept else {}))
                (stored if kept else plain).append((time.perf_counter() - began) * 1000 / images)
    extra = [right - left for left, right in zip(plain, stored, strict=True)]
    middle = statistics.median(plain)
    print(
        f"{artifact.name}: {middle:.2f} ms an image, with a store {statistics.median(stored):.2f} ms: "
        f"{statistics.median(extra):+.2f} ms ({statistics.median(extra) / middle:+.1%}), median of {rounds} pairs, "
        f"{min(extra):+.2f} to {max(extra):+.2f} ms"
    )
    return {"plain_ms": plain, "stored_ms": stored, "images": images}


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
