"""Two million made records: what the score, the scan of a run that goes on, and the merge cost in time and memory.

    python benchmarks/store.py --images 2000000 --json runs/bench/store.json

Each step is a process of its own, whose peak of memory is its alone. Nothing is inferred: counts are drawn.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from densecast.io import codec
from densecast.measure.store import scoring
from densecast.measure.store.count_columns import CountColumns
from densecast.measure.store.manifest import Manifest, RunKey
from densecast.measure.store.record import FileFacts, Maker, Record
from densecast.measure.store.store import Store
from densecast.metrics._base import METRICS
from densecast.metrics.iou import PixelCount
from densecast.runtime import machine
from densecast.spec.sample import SplitRecord
from densecast.verbs.export.spec_file import SpecFile
from densecast.verbs.stored import merge

CLASSES = 19
PART = 2048
PRECISION = json.dumps({"compute": "i8", "layers": {"i8": 60}, "source": "made"})


def write(store: str, images: int) -> dict[str, Any]:
    """Write the records, as workers would."""
    spec = SpecFile(tuple(f"class {place}" for place in range(CLASSES))).model("made")
    ids = [f"city/{place // 1000:05}/{place:09}.jpg" for place in range(images)]
    key = RunKey({"name": "made"}, {"images": str(images)}, {})
    record = SplitRecord("made", "all", images, images, None, "0" * 64)
    manifest = Manifest(key, "evaluate", images, spec, {}, "iou", record=record)
    opened = Store.made_for(store, manifest, ids)
    columns, maker = CountColumns.of(METRICS.load("iou")), Maker("0" * 64, PRECISION, "0.1.0", "node", "cpu")
    rng = np.random.default_rng(0)
    for start in range(0, images, PART):
        part = ids[start : start + PART]
        there = rng.integers(0, 50_000, (len(part), CLASSES)) * (rng.random((len(part), CLASSES)) < 0.4)
        both = (there * rng.random(there.shape)).astype(np.int64)
        counts = np.stack([both, both + rng.integers(0, 2000, there.shape), there], axis=1)
        digests = [rng.bytes(32).hex() for _ in part]
        stages = {"decode": 8.0, "infer": 90.0, "postprocess": 3.0, "total": 101.0}
        opened.write(
            [
                Record(
                    each,
                    image=FileFacts(digest, 123_456),
                    target=FileFacts(digest, 4_567),
                    size_hw=(1024, 2048),
                    count=PixelCount(each, count),
                    stages_ms=stages,
                    finished=datetime.now(UTC),
                )
                for each, digest, count in zip(part, digests, counts, strict=True)
            ],
            maker,
            columns,
        )
    return {}


def scan(store: str, images: int) -> dict[str, Any]:
    """What is done: the start of a run that goes on."""
    assert len(Store.at(store).scan().done) == images
    return {}


def score(store: str, images: int) -> dict[str, Any]:
    """The score of all."""
    opened = Store.at(store)
    found = scoring.score(opened, merge.complete(opened)).score
    assert found.count == images
    return {"value": found.value}


def compact(store: str, images: int) -> dict[str, Any]:
    """Many small files become few large ones."""
    opened = Store.at(store)
    before = len(opened.names("done"))
    merge.compact(opened, merge.complete(opened))
    return {"files_before": before, "files_after": len(opened.names("done"))}


STEPS = {"write": write, "scan": scan, "score": score, "compact": compact, "score again": score}


def child(step: str, store: str, images: int) -> None:
    """One step: its time and its peak of memory, as JSON."""
    began = time.monotonic()
    found = STEPS[step](store, images)
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"step": step, "seconds": seconds, "peak_rss_mib": peak, **found}))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2_000_000)
    parser.add_argument("--folder", type=Path, help="where the store is made; default: a temporary folder")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--store", help="one that --step write has made")
    given = parser.parse_args()
    if given.step:
        child(given.step, given.store, given.images)
        return
    folder = tempfile.mkdtemp(prefix="densecast-store-", dir=given.folder)
    store = given.store or f"{folder}/run"
    rows = []
    try:
        for step in [each for each in STEPS if each != "write" or not given.store]:
            words = [
                sys.executable,
                __file__,
                "--step",
                step,
                "--store",
                store,
                "--images",
                str(given.images),
            ]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout))
            row = rows[-1]
            per_million = row["seconds"] * 1e6 / given.images
            print(f"{step:12} {row['seconds']:8.1f} s  {per_million:7.1f} s a million  {row['peak_rss_mib']:7.0f} MiB")
        size = sum(path.stat().st_size for path in Path(store).rglob("*.parquet"))
        print(f"{size / given.images:.0f} bytes an image in the store")
    finally:
        shutil.rmtree(folder)
    assert len({row["value"] for row in rows if "value" in row}) == 1
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        result = {
            "machine": codec.to_plain(machine.describe()),
            "images": given.images,
            "classes": CLASSES,
            "bytes_per_image": size / given.images,
            "steps": rows,
        }
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
