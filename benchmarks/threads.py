"""Several threads that call one pipeline, beside `stream`: images a second, and memory.

Both run in one process, in turns; each figure is the median over the rounds, ratios are taken within a round.

    python benchmarks/threads.py --json runs/bench/threads.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

import densecast
from densecast.io import codec
from densecast.runtime import machine
from densecast.spec.precision import Precision

ROUNDS, IMAGES, THREADS = 7, 64, (2, 4, 8)
Image = npt.NDArray[np.uint8]


def build(folder: Path, precision: Precision) -> Path:
    """`unet_tiny` for 640 by 960 pixels."""
    source = densecast.export("unet_tiny", folder / "float")
    options = densecast.BuildOptions(precision=precision, shape=densecast.InputShape(height=640, width=960))
    return densecast.build(source, folder / precision, options).folder


def by_stream(pipeline: densecast.Pipeline, images: list[Image]) -> float:
    """Images a second of `stream`."""
    start = time.perf_counter()
    for _ in pipeline.stream(images, lambda image: image, lambda predicted: None):
        pass
    return len(images) / (time.perf_counter() - start)


def by_threads(pipeline: densecast.Pipeline, images: list[Image], threads: int) -> float:
    """Images a second of so many callers."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(pipeline, images[:threads]))
        start = time.perf_counter()
        list(pool.map(pipeline, images))
        return len(images) / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (1280, 1920, 3), dtype=np.uint8) for _ in range(8)] * (IMAGES // 8)
    results: dict[str, object] = {"machine": codec.to_plain(machine.describe()), "images": IMAGES, "rounds": ROUNDS}
    with tempfile.TemporaryDirectory() as folder:
        artifact = build(Path(folder), "force_float16")
        with densecast.Pipeline.open(artifact, mode="throughput") as pipeline:
            by_stream(pipeline, images)
            rates: dict[str, list[float]] = {"stream": [], **{f"{count} threads": [] for count in THREADS}}
            for _ in range(ROUNDS):
                rates["stream"].append(by_stream(pipeline, images))
                for count in THREADS:
                    rates[f"{count} threads"].append(by_threads(pipeline, images, count))
    for name, values in rates.items():
        ratio = statistics.median(value / other for value, other in zip(values, rates["stream"], strict=True))
        results[name] = {"images_per_s": statistics.median(values), "of_stream": ratio}
        print(f"{name:10}: {statistics.median(values):6.1f} images/s, {ratio:.2f} of stream")
    print(f"peak memory {machine.peak_rss_mb():.0f} MB")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
